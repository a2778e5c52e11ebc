// openapi-generator (csharp, library httpclient) on openapi-3.0.json: a tensor is an object, so arrays go in as they are.
using System;
using System.Collections.Generic;
using AttentionClient.Api;
using AttentionClient.Client;
using AttentionClient.Model;
using Newtonsoft.Json.Linq;

public static class Call {
    static void Check(bool ok, object what) {
        if (!ok) throw new Exception(what.ToString());
    }

    public static void Main() {
        var api = new ComputeApi(Environment.GetEnvironmentVariable("SERVER"));
        var x = new double[][] { new double[] {1, 0, 0, 0}, new double[] {0, 1, 0, 0}, new double[] {0, 0, 1, 0} };
        var maps = new List<AttentionRequestReturn> { AttentionRequestReturn.Output, AttentionRequestReturn.Weights };
        var request = new AttentionRequest(
            q: x, k: x, v: x, varReturn: maps, backward: new AttentionRequestBackward(target: x));
        AttentionAnswer answer = api.Attention(request);
        Check(((JArray)answer.Weights).Count == 3, answer);
        Check(((JArray)answer.Grads.Q).Count == 3, answer);

        try {
            api.Attention(new AttentionRequest(q: x, k: new double[][] { new double[] {1, 0} }, v: x));
            Check(false, "not refused");
        } catch (ApiException refused) {
            Check(refused.ErrorCode == 400 && refused.ErrorContent.ToString().Contains("SHAPE_MISMATCH"), refused);
        }

        var stack = new Stack(layers: 1, heads: 2, dFf: 8, init: new Init(seed: 1));
        Check(api.Transformer(new TransformerRequest(x: x, stack: stack)).Output != null, "transformer");

        var shape = new Dictionary<string, object> { { "shape", new[] { 1, 8, 4096, 64 } } };
        var body = new Dictionary<string, object> { { "q", shape }, { "k", shape }, { "v", shape } };
        PlanAnswer plan = api.Plan(new PlanRequest("/v1/attention", body));
        Check(plan.Admitted && plan.Flops > 1e9, plan);
        Console.WriteLine("called");
    }
}
