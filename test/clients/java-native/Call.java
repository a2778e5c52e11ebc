// openapi-generator (java, library native) on openapi-3.0.json: a tensor is an Object, so arrays go in as they are.
import java.util.List;
import java.util.Map;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.ComputeApi;
import org.openapitools.client.model.*;

public class Call {
    static void check(boolean ok, Object what) {
        if (!ok) throw new AssertionError(what);
    }

    public static void main(String[] arguments) throws Exception {
        ApiClient client = new ApiClient();
        client.updateBaseUri(System.getenv("SERVER"));
        ComputeApi api = new ComputeApi(client);
        double[][] x = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}};
        AttentionRequest request = new AttentionRequest().q(x).k(x).v(x)
            .backward(new AttentionRequestBackward().target(x));
        request.setReturn(List.of(AttentionRequestReturn.OUTPUT, AttentionRequestReturn.WEIGHTS));
        AttentionAnswer answer = api.attention(request);
        check(((List<?>) answer.getWeights()).size() == 3, answer);
        check(((List<?>) answer.getGrads().getQ()).size() == 3, answer);

        try {
            api.attention(new AttentionRequest().q(x).k(new double[][] {{1, 0}}).v(x));
            check(false, "not refused");
        } catch (ApiException refused) {
            check(refused.getCode() == 400 && refused.getResponseBody().contains("SHAPE_MISMATCH"), refused);
        }

        Stack stack = new Stack().layers(1).heads(2).dFf(8).init(new Init().seed(1L));
        check(api.transformer(new TransformerRequest().x(x).stack(stack)).getOutput() != null, "transformer");

        Map<String, Object> shape = Map.of("shape", List.of(1, 8, 4096, 64));
        PlanAnswer plan = api.plan(new PlanRequest()
            .endpoint("/v1/attention").body(Map.of("q", shape, "k", shape, "v", shape)));
        check(plan.getAdmitted() && plan.getFlops() > 1e9, plan);
        System.out.println("called");
        System.exit(0);
    }
}
