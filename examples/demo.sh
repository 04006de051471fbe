#!/bin/sh
# Trains on a small corpus with scores that need no key, samples, and asks whether the scores
# helped. Run it with `make demo`.
# Everything it makes lies in .demo/; a second run finds its scores in the cache there.
set -eu
cd "$(dirname "$0")/.."
export LLMATTN_CACHE_DIR=.demo/cache
mkdir -p .demo

llmattn train --corpus examples/data/village.txt --provider cooccurrence \
    --out .demo/checkpoint.pt --steps 300
echo
llmattn sample --checkpoint .demo/checkpoint.pt --prompt "the baker" --num 5 --seed 1
echo
llmattn compare examples/data/village.txt --provider cooccurrence \
    --arms external,random,position --seeds 3 --lr 1e-2 --steps 200 --batch-size 64 --n-embd 32 \
    --out .demo/comparison
