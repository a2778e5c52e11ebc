// progenitor on openapi-3.0.json: a tensor is a serde_json::Value.
use futures::TryStreamExt;
use serde_json::{Value, from_value, json};

progenitor::generate_api!("openapi-3.0.json");

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let client = Client::new(&std::env::var("SERVER").unwrap());
    let x = json!([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]);
    let request: types::AttentionRequest = from_value(json!({
        "q": x, "k": x, "v": x, "return": ["output", "weights"], "backward": {"target": x},
    }))
    .unwrap();
    let answer = client.attention(&request).await.unwrap().into_inner();
    let weights = answer.weights.unwrap();
    assert!(weights[0][0].as_f64() > weights[0][1].as_f64());
    let gradient = answer.grads.unwrap().q.unwrap();
    assert_eq!(gradient.as_array().unwrap().len(), 3);

    let short = types::AttentionRequest { k: types::Tensor(json!([[1, 0]])), ..request };
    let Err(Error::ErrorResponse(refused)) = client.attention(&short).await else { panic!("not refused") };
    assert_eq!(refused.status(), 400);
    // what is no application/json comes as its bytes
    let bytes: Vec<u8> = refused.into_inner_stream().map_ok(Into::<Vec<u8>>::into).try_concat().await.unwrap();
    let problem: types::Problem = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(problem.code, "SHAPE_MISMATCH");

    let stack = json!({"layers": 1, "heads": 2, "d_ff": 8, "init": {"seed": 1}});
    let request = from_value(json!({"x": x, "stack": stack, "return": ["output", "weights"]})).unwrap();
    let run = client.transformer(&request).await.unwrap().into_inner();
    assert_eq!(run.layers.len(), 1);

    let shape: Value = json!({"shape": [1, 8, 4096, 64]});
    let body = json!({"q": shape, "k": shape, "v": shape});
    let request = from_value(json!({"endpoint": "/v1/attention", "body": body})).unwrap();
    let plan = client.plan(&request).await.unwrap().into_inner();
    assert!(plan.flops > 1e9 && plan.admitted);
    println!("called");
}
