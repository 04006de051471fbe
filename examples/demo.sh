#!/bin/sh
# A small language model reads a tale; small GPTs learn from where it looks. Run it with `make demo`.
# No key is needed and nothing is sent. All that it makes lies in .demo/, and a second run finds
# what was read in the cache there.
set -eu
cd "$(dirname "$0")/.."
export LLMATTN_CACHE_DIR=.demo/cache
mkdir -p .demo
text=.demo/tale.txt
head -n 442 examples/data/island.txt > $text   # 7,006 words

run() {
    printf '\n$ %s\n' "$*"
    "$@"
}

run llmattn train $text --provider transformers --model smollm2 --stream --test-fraction 0.1 \
    --block-size 128 --per-layer --n-embd 64 --steps 120 --batch-size 8 --warmup 20 \
    --eval-every 20 --lr 6e-3 --out .demo/checkpoint.pt
run llmattn sample "The cooper" --checkpoint .demo/checkpoint.pt --model smollm2 --num 3 \
    --max-new 30 --seed 1
run llmattn compare $text --config examples/demo.toml --out .demo/comparison \
    --arms layers,layers-shuffled,position/per-layer
run llmattn show --provider transformers --model smollm2 --out .demo/attention.html \
    --text "The cooper mended the barrel, and then he rolled it to the harbour."

printf '\nLook at .demo/attention.html (where the language model looks), and in .demo/comparison at\n'
printf 'intervals.png (what was gained), curves.png and report.md.\n'
