#!/bin/sh
# What the agent reads of hosts and of strangers' archives, by libFuzzer for FUZZ seconds (60 unless given), beginning
# with packages/agent/test/corpus.txt, an input a line in base64. What breaks the agent is left in .cache/fuzz. KEEP=1
# has those of all inputs that reach something of their own replace that file.
. "$(dirname "$0")/lib.sh"
lock fuzz
test=$root/packages/agent/test
work=$cache/fuzz
mkdir -p "$work/corpus"

if ! have clang; then
  say "SKIP make fuzz: there is no clang (Debian: apt-get install clang libclang-rt-14-dev)"
  exit 0
fi
cd "$root/packages/agent/src"
quietly clang -std=c11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -D_GNU_SOURCE -DLIBFUZZER \
  -Dmain=agent_main -o "$work/fuzz" ./*.c "$test/fuzz.c" || die "the fuzzer could not be built"

cd "$work"
while read -r input; do
  printf %s "$input" | base64 -d >new
  mv new "corpus/$(printf %s "$input" | sha1sum | cut -c1-40)"
done <"$test/corpus.txt"
./fuzz -max_total_time="${FUZZ:-60}" -max_len=8192 -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 corpus
[ "${KEEP:-}" ] || exit 0
rm -rf kept
mkdir kept
./fuzz -merge=1 -max_len=4096 kept corpus
for file in kept/*; do base64 -w0 "$file"; echo; done >"$test/corpus.txt"
