import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.JobsApi;
import org.openapitools.client.api.PluginReleasesApi;
import org.openapitools.client.model.CreatePluginReleaseRequest;
import org.openapitools.client.model.DebugRunRequest;
import org.openapitools.client.model.ErrorBody;
import org.openapitools.client.model.JobStreamEvent;
import org.openapitools.client.model.RunBody;
import org.openapitools.client.model.RunRequest;

/** The main job with the Java client that OpenAPI Generator makes: one line per step, with its result. */
public class Main {
    private static final String LOOKUP = "workshop@1.0.0";
    private static final ObjectMapper MAPPER = ApiClient.createDefaultObjectMapper();
    private static final PluginReleasesApi RELEASES;
    private static final JobsApi JOBS;

    static {
        ApiClient client = new ApiClient();
        client.updateBaseUri(System.getenv("SYNAPSE_AGENT_URL"));
        // Java's HTTP client requests HTTP/2 by default, which the agent does not support.
        client.setHttpClientBuilder(java.net.http.HttpClient.newBuilder().version(java.net.http.HttpClient.Version.HTTP_1_1));
        client.setRequestInterceptor(builder -> builder.header("Authorization", System.getenv("SYNAPSE_AGENT_TOKEN")));
        RELEASES = new PluginReleasesApi(client);
        JOBS = new JobsApi(client);
    }

    interface Call {
        Object make() throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        releases();
        runs();
        jobs();
        RELEASES.deletePluginRelease(LOOKUP, null, null);
        report("deleted", errorOf(() -> RELEASES.getPluginRelease(LOOKUP, null, null)));
    }

    private static void releases() throws Exception {
        CreatePluginReleaseRequest wanted = new CreatePluginReleaseRequest().plugin("workshop").version("1.0.0");
        var created = RELEASES.createPluginRelease(wanted, null, null, null);
        report("create", List.of(created.getPlugin(), created.getVersion()));
        var found = RELEASES.getPluginRelease(LOOKUP, null, null);
        report("get", List.of(found.getPlugin(), found.getVersion()));
        report("list", List.of(countOf("custom"), countOf("none")));
    }

    private static int countOf(String category) throws ApiException {
        return RELEASES.listPluginReleases(null, null, null, null, null, category, null, null, null).getCount();
    }

    private static RunRequest request(String action, Map<String, Object> params) {
        return new RunRequest().action(action).params(params);
    }

    private static Object run(RunBody body, String prefer) throws ApiException {
        return RELEASES.runPluginRelease(LOOKUP, body, null, prefer, null, null);
    }

    private static void runs() throws Exception {
        report("run", run(new RunBody(request("count", Map.of("to", 2))), null));
        String payload = "{\"action\":\"echo\",\"params\":{\"value\":\"legacy\"},\"key_of_its_own\":{\"deep\":[1,null]}}";
        report("legacy", run(new RunBody((ObjectNode) MAPPER.readTree(payload)), null));
        DebugRunRequest body = new DebugRunRequest()
                .action("greet")
                .params(Map.of("name", "Ada"))
                .config(Map.of("actions", Map.of("greet", Map.of("entrypoint", "hello:greet"))))
                .modules(Map.of("hello", "def greet(name):\n    return f'Hello, {name}'\n"));
        report("debug", RELEASES.runDebugPluginRelease(body, null, null, null, null));
    }

    private static void jobs() throws Exception {
        run(new RunBody(request("count", Map.of("to", 2)).jobId("counted")), "respond-async");
        report("stream", readable(() -> messages(JOBS.streamJobLogs("counted", null, null, null))));
        var record = JOBS.getJob("counted", null, null);
        report("job", List.of(record.getStatus(), record.getProgress().getCurrent(), record.getResult()));
        report("logs", JOBS.getJobLogs("counted", null, null, null, null));
        run(new RunBody(request("wait", Map.of("seconds", 60)).jobId("waiting")), null);
        report("stop", JOBS.stopJob("waiting", null, null).getStatus());
        JOBS.deleteJob("counted", null, null);
        report("forgotten", errorOf(() -> JOBS.getJob("counted", null, null)));
    }

    /** Reads server-sent events from a stream that has ended. */
    private static List<String> messages(String stream) throws Exception {
        List<String> found = new ArrayList<>();
        for (String line : stream.split("\n")) {
            if (!line.startsWith("data: ")) continue;
            JobStreamEvent event = MAPPER.readValue(line.substring("data: ".length()), JobStreamEvent.class);
            if (event.getType().equals("log")) found.add(event.getMessage());
            if (event.getType().equals("complete")) found.add(event.getStatus());
        }
        return found;
    }

    private static List<Object> errorOf(Call call) throws Exception {
        try {
            call.make();
            return List.of();
        } catch (ApiException error) {
            ErrorBody body = MAPPER.readValue(error.getResponseBody(), ErrorBody.class);
            return List.of(error.getCode(), body.getDetail().getErrorDetail().getErrorType());
        }
    }

    /** Returns the result of a call, or "cannot" if the client parses events as JSON. */
    private static Object readable(Call call) throws Exception {
        try {
            return call.make();
        } catch (ApiException error) {
            if (error.getCause() instanceof JsonProcessingException) return "cannot";
            throw error;
        }
    }

    private static void report(String step, Object outcome) throws Exception {
        System.out.println(step + "\t" + MAPPER.writeValueAsString(outcome));
    }
}
