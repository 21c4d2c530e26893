// Uploads a file without holding it in memory, and counts its lines in a run.
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
)

func main() {
	id, err := upload("input.txt")
	if err != nil {
		log.Fatal(err)
	}
	run := fmt.Sprintf(`{
		"action": "count",
		"params": {"text": {"$file": {"id": %q, "name": "input.txt"}}},
		"config": {"actions": {"count": {"entrypoint": "counter:count"}}},
		"modules": {"counter": "def count(text):\n    return sum(1 for line in open(text))\n"}
	}`, id)
	result, err := send(http.MethodPost, "/plugin_releases/run_debug/", "application/json", strings.NewReader(run))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result)
}

// upload sends a file and returns its ID.
func upload(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err = io.Copy(hash, file); err != nil {
		return "", err
	}
	if _, err = file.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	id := fmt.Sprintf("%x", hash.Sum(nil))
	_, err = send(http.MethodPut, "/files/"+id+"/content/?name="+name, "application/octet-stream", file)
	return id, err
}

// send returns the answer's text, or an error with it if the agent refuses the request.
func send(method, path, contentType string, body io.Reader) (string, error) {
	request, err := http.NewRequest(method, os.Getenv("SYNAPSE_AGENT_URL")+path, body)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", os.Getenv("SYNAPSE_AGENT_TOKEN"))
	request.Header.Set("Content-Type", contentType)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= 300 {
		err = fmt.Errorf("%s: %s", answer.Status, text)
	}
	return string(text), err
}
