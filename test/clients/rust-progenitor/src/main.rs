// progenitor on openapi-3.0.json: a tensor is a serde_json::Value.
progenitor::generate_api!("openapi.json");

use serde_json::{from_value, json};
use types::*;

#[tokio::main]
async fn main() {
    let client = Client::new(&std::env::var("SERVER").unwrap());
    let x = json!([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]);
    let request: AttentionRequest = from_value(
        json!({"q": x, "k": x, "v": x, "return": ["output", "weights"], "backward": {"target": x}}),
    )
    .unwrap();
    let answer = client.attention(&request).await.unwrap().into_inner();
    let text = serde_json::to_value(&answer).unwrap();
    assert!(text["weights"][0][0].as_f64() > text["weights"][0][1].as_f64(), "{text}");
    assert_eq!(text["grads"]["q"].as_array().unwrap().len(), 3);

    let short: AttentionRequest = from_value(json!({"q": x, "k": [[1, 0]], "v": x})).unwrap();
    match client.attention(&short).await {
        Err(progenitor_client::Error::ErrorResponse(refused)) => assert_eq!(refused.status(), 400),
        other => panic!("{other:?}"),
    }

    let stack = json!({"layers": 1, "heads": 2, "d_ff": 8, "init": {"seed": 1}});
    let request: TransformerRequest = from_value(json!({"x": x, "stack": stack})).unwrap();
    assert!(client.transformer(&request).await.unwrap().output.is_some());

    let shape = json!({"shape": [1, 8, 4096, 64]});
    let request: PlanRequest =
        from_value(json!({"endpoint": "/v1/attention", "body": {"q": shape, "k": shape, "v": shape}})).unwrap();
    let plan = client.plan(&request).await.unwrap();
    assert!(plan.admitted && plan.flops > 1e9);
    println!("called");
}
