// The main job with the Go client that OpenAPI Generator makes: one line per step, with its result.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"

	"example/synapse"
)

const lookup = "workshop@1.0.0"

var (
	client *synapse.APIClient
	ctx    context.Context
)

func main() {
	configuration := synapse.NewConfiguration()
	configuration.Servers = synapse.ServerConfigurations{{URL: os.Getenv("SYNAPSE_AGENT_URL")}}
	client = synapse.NewAPIClient(configuration)
	token := map[string]synapse.APIKey{"agentToken": {Key: os.Getenv("SYNAPSE_AGENT_TOKEN")}}
	ctx = context.WithValue(context.Background(), synapse.ContextAPIKeys, token)
	releases()
	runs()
	jobs()
	_, err := client.PluginReleasesAPI.DeletePluginRelease(ctx, lookup).Execute()
	check(err)
	_, response, err := client.PluginReleasesAPI.GetPluginRelease(ctx, lookup).Execute()
	report("deleted", []any{response.StatusCode, typeOf(err)})
}

func releases() {
	wanted := *synapse.NewCreatePluginReleaseRequest("workshop")
	wanted.SetVersion("1.0.0")
	created, _, err := client.PluginReleasesAPI.CreatePluginRelease(ctx).CreatePluginReleaseRequest(wanted).Execute()
	check(err)
	report("create", []any{created.Plugin, created.Version})
	found, _, err := client.PluginReleasesAPI.GetPluginRelease(ctx, lookup).Execute()
	check(err)
	report("get", []any{found.Plugin, found.Version})
	custom, _, err := client.PluginReleasesAPI.ListPluginReleases(ctx).Category("custom").Execute()
	check(err)
	none, _, err := client.PluginReleasesAPI.ListPluginReleases(ctx).Category("none").Execute()
	check(err)
	report("list", []any{custom.Count, none.Count})
}

func request(action string, params map[string]any) *synapse.RunRequest {
	body := synapse.NewRunRequest(action)
	body.SetParams(params)
	return body
}

func start(body *synapse.RunRequest) synapse.ApiRunPluginReleaseRequest {
	return client.PluginReleasesAPI.RunPluginRelease(ctx, lookup).RunBody(synapse.RunBody{RunRequest: body})
}

func runs() {
	counted, _, err := start(request("count", map[string]any{"to": 2})).IdempotencyKey("go-1").Execute()
	check(err)
	report("run", counted)
	payload := map[string]any{
		"action":         "echo",
		"params":         map[string]any{"value": "legacy"},
		"key_of_its_own": map[string]any{"deep": []any{1, nil}},
	}
	legacy := synapse.RunBody{MapmapOfStringAny: &payload}
	echoed, _, err := client.PluginReleasesAPI.RunPluginRelease(ctx, lookup).RunBody(legacy).Execute()
	check(err)
	report("legacy", echoed)
	body := synapse.NewDebugRunRequest("greet")
	body.SetParams(map[string]any{"name": "Ada"})
	body.SetConfig(map[string]any{"actions": map[string]any{"greet": map[string]any{"entrypoint": "hello:greet"}}})
	body.SetModules(map[string]string{"hello": "def greet(name):\n    return f'Hello, {name}'\n"})
	greeted, _, err := client.PluginReleasesAPI.RunDebugPluginRelease(ctx).DebugRunRequest(*body).Execute()
	check(err)
	report("debug", greeted)
}

func jobs() {
	body := request("count", map[string]any{"to": 2})
	body.SetJobId("counted")
	_, response, err := start(body).Prefer("respond-async").Execute()
	check(err)
	if response.StatusCode != http.StatusAccepted {
		log.Fatal("answered with ", response.StatusCode)
	}
	stream, _, err := client.JobsAPI.StreamJobLogs(ctx, "counted").Execute()
	check(err)
	report("stream", messages(stream))
	record, _, err := client.JobsAPI.GetJob(ctx, "counted").Execute()
	check(err)
	report("job", []any{record.Status, record.Progress.Get().Current, record.Result})
	printed, _, err := client.JobsAPI.GetJobLogs(ctx, "counted").Execute()
	check(err)
	report("logs", printed)
	waiting := request("wait", map[string]any{"seconds": 60})
	waiting.SetJobId("waiting")
	_, _, err = start(waiting).Execute()
	check(err)
	stopped, _, err := client.JobsAPI.StopJob(ctx, "waiting").Execute()
	check(err)
	report("stop", stopped.Status)
	_, err = client.JobsAPI.DeleteJob(ctx, "counted").Execute()
	check(err)
	_, response, err = client.JobsAPI.GetJob(ctx, "counted").Execute()
	report("forgotten", []any{response.StatusCode, typeOf(err)})
}

// messages reads server-sent events from a stream that has ended.
func messages(stream string) []string {
	var found []string
	for _, line := range strings.Split(stream, "\n") {
		var event synapse.JobStreamEvent
		if !strings.HasPrefix(line, "data: ") {
			continue
		}
		check(json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &event))
		switch event.Type {
		case "log":
			found = append(found, event.GetMessage())
		case "complete":
			found = append(found, event.GetStatus())
		}
	}
	return found
}

func typeOf(err error) string {
	var answered *synapse.GenericOpenAPIError
	if errors.As(err, &answered) {
		if body, ok := answered.Model().(synapse.ErrorBody); ok && body.Detail.ErrorDetail != nil {
			return body.Detail.ErrorDetail.ErrorType
		}
	}
	return fmt.Sprint(err)
}

func report(step string, outcome any) {
	text, err := json.Marshal(outcome)
	check(err)
	fmt.Printf("%s\t%s\n", step, text)
}

func check(err error) {
	if err != nil {
		log.Fatal(typeOf(err))
	}
}
