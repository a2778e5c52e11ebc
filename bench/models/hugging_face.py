"""The side of transformers and PyTorch: makes the model that nobody ships, and runs what it is told by line on stdin.

    hugging_face.py make FOLDER            GPT-2 small with random weights
    hugging_face.py run THREADS
        {"kind": "maps", "folder": …, "tokens": 128}                       ->  ready
        {"kind": "generate", "folder": …, "tokens": 32, "new": 32}         ->  ready
        run                                                                ->  milliseconds
"""

import json
import sys
import time

import torch
import transformers


def make(folder):
    torch.manual_seed(0)
    config = transformers.GPT2Config(bos_token_id=None, eos_token_id=None)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)


def prepared(case):
    """Eager attention, as it must be for maps, without gradients."""
    ids = torch.arange(1000, 1000 + case["tokens"])[None]
    mask = torch.ones_like(ids)
    kind = transformers.AutoModel if case["kind"] == "maps" else transformers.AutoModelForCausalLM
    model = kind.from_pretrained(case["folder"], attn_implementation="eager", dtype=torch.float32).eval()
    if case["kind"] == "maps":
        return lambda: model(input_ids=ids, attention_mask=mask, output_attentions=True)
    new = case["new"]
    return lambda: model.generate(
        ids, attention_mask=mask, max_new_tokens=new, min_new_tokens=new, do_sample=False, use_cache=True, pad_token_id=0
    )


def serve(threads):
    torch.set_num_threads(threads)
    print(json.dumps({"torch": torch.__version__, "transformers": transformers.__version__}), flush=True)
    run = None
    for line in sys.stdin:
        if line.strip() != "run":
            run = prepared(json.loads(line))
            print("ready", flush=True)
            continue
        with torch.inference_mode():
            begin = time.perf_counter()
            run()
            print((time.perf_counter() - begin) * 1000, flush=True)


transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
if sys.argv[1] == "make":
    make(sys.argv[2])
else:
    serve(int(sys.argv[2]))
