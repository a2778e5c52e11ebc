# Rust, progenitor: its macro makes the client while the program compiles. What it builds stays with the generators.
mkdir src
mv main.rs src/main.rs
cp "$OPENAPI30" openapi-3.0.json
CARGO_TARGET_DIR="$TOOLS/rust" cargo run --quiet
