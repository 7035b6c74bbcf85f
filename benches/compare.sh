#!/usr/bin/env bash
# Basalt beside redis-server on this machine: benches/compare.sh [cpu|memory|durable|load|snapshot ...]
#
# Each part writes bench-results/PART.md. Runs are interleaved (ours, theirs, ours, ...), figures are
# medians. The server has core 1 and the generator core 0, except where it says so. Needs two idle
# cores, redis-server and redis-benchmark on PATH, 8 GiB of memory and of disk in WORK (/tmp).
# ROUNDS (3), KEYS (5000000), FIELDS (5000000), OTHERS (2000000), RATE (10000) make it shorter.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-3} keys=${KEYS:-5000000} fields=${FIELDS:-5000000} others=${OTHERS:-2000000}
rate=${RATE:-10000} work=$(mktemp -d "${WORK:-/tmp}/basalt-compare-XXXX")
cargo build --release --quiet --bins
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
ours=$target/release/basalt-server
open_loop=$(cargo bench --bench open_loop --no-run 2>&1 | sed -n 's/.*(\(.*open_loop[^)]*\)).*/\1/p')
pid= port=7310
trap 'stop; rm -rf "$work"' EXIT

start() { # NAME CORES OPTIONS...: starts a server on an empty or used directory of its own
    local name=$1 cores=$2; shift 2
    mkdir -p "$work/$name"
    local program=redis-server
    if [ "$name" = basalt ]; then program=$ours; fi
    taskset -c "$cores" "$program" --port $port --dir "$work/$name" "$@" >"$work/$name.log" 2>&1 &
    pid=$!
    until [ "$(redis-cli -p $port ping 2>/dev/null)" = PONG ]; do
        kill -0 $pid || { tail -3 "$work/$name.log"; exit 1; }
        sleep 0.05
    done
}

stop() { [ -z "$pid" ] || { kill -9 $pid 2>/dev/null || true; wait $pid 2>/dev/null || true; pid=; }; }
fresh() { stop; rm -rf "$work/basalt" "$work/redis"; }
processor() { awk '{print ($14 + $15) * 10000}' /proc/$pid/stat; } # microseconds
anonymous() { awk '/^AnonPages:/ {print $2}' /proc/meminfo; } # KiB
pss() { awk '/^Pss:/ {print $2}' /proc/$pid/smaps_rollup; }       # KiB
median() { sort -g | awk '{a[NR] = $1} END {print a[int((NR + 1) / 2)]}'; }
ratio() { awk "BEGIN {printf \"%.2f\", $1 / $2}"; }
shards() { [ "$1" = redis ] || echo "--shards $2"; }
fill() { taskset -c 0 "$open_loop" --port $port --fill yes --rate 0 "$@"; }

page() { # TITLE: the head of a page
    printf '# %s\n\n' "$1"
    printf 'Made by `benches/compare.sh %s` on %s: %s, %s cores, Linux %s; %s; Basalt %s.\n\n' "$part" \
        "$(date -u +%F)" "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)" "$(nproc)" \
        "$(uname -r)" "$(redis-server --version | cut -d' ' -f1-3)" "$(git rev-parse --short HEAD)"
}

cpu() {
    local name row p t n before
    for round in $(seq "$rounds"); do
        for name in basalt redis; do
            fresh
            # shellcheck disable=SC2046
            start $name 1 $(shards $name 1) --appendonly yes --appendfsync everysec --save ""
            for p in 1 16 50; do
                n=$((p == 1 ? 200000 : 2000000))
                for t in set get; do
                    before=$(processor)
                    taskset -c 0 redis-benchmark -p $port -t $t -n $n -r 1000000 -d 64 -c 50 -P $p -q \
                        >"$work/out"
                    echo "$name $t $p $(ratio $(($(processor) - before)) $n)" \
                        "$(tr '\r' '\n' <"$work/out" | awk '/requests per second/ {print int($2)}')" \
                        >>"$work/cpu"
                done
            done
        done
    done
    page "Processor time of the server for one command"
    echo "64-byte values, a million keys, 50 connections, \`appendfsync everysec\`, one shard on one core, medians of"
    echo "$rounds runs. User and system time of the server process, in microseconds."
    printf '\n| command, pipeline | Basalt us | Redis us | ratio | Basalt req/s | Redis req/s |\n|---|---|---|---|---|---|\n'
    for t in set get; do
        for p in 1 16 50; do
            cell() { awk -v n="$1" -v t=$t -v p=$p -v c="$2" '$1==n && $2==t && $3==p {print $c}' "$work/cpu" | median; }
            echo "| ${t^^} P$p | $(cell basalt 4) | $(cell redis 4) |" \
                "$(ratio "$(cell basalt 4)" "$(cell redis 4)") | $(cell basalt 5) | $(cell redis 5) |"
        done
    done
}

memory() {
    local bytes name before row
    page "Memory for one key"
    echo "$keys keys of 16 bytes; proportional set size of the process after filling, minus before; no persistence; one shard."
    printf '\n| value | Basalt, bytes a key | Redis, bytes a key | ratio |\n|---|---|---|---|\n'
    for bytes in 32 64; do
        row=()
        for name in basalt redis; do
            fresh
            # shellcheck disable=SC2046
            start $name 1 $(shards $name 1) --appendonly no --save ""
            before=$(pss)
            fill --hash-fields 0 --keys "$keys" --value-bytes $bytes
            row+=("$(awk "BEGIN {printf \"%.1f\", ($(pss) - $before) * 1024 / $keys}")")
        done
        echo "| $bytes bytes | ${row[0]} | ${row[1]} | $(ratio "${row[0]}" "${row[1]}") |"
    done
}

durable() {
    local policy name n
    for round in $(seq "$rounds"); do
        for policy in always everysec; do
            n=$([ $policy = always ] && echo 40000 || echo 400000)
            for name in basalt redis; do
                fresh
                start $name 0,1 --appendonly yes --appendfsync $policy --save ""
                redis-benchmark -p $port -t set -n $n -r 1000000 -d 64 -c 50 -q >"$work/out"
                echo "$name $policy $(tr '\r' '\n' <"$work/out" |
                    awk '/requests per second/ {split($6, p, "="); print int($2), p[2]}')" >>"$work/durable"
            done
        done
    done
    page "Durable writes"
    echo "SET of 64-byte values, 50 connections, no pipeline; server (two shards) and generator share both cores; medians of"
    echo "$rounds runs."
    printf '\n| appendfsync | Basalt req/s | Redis req/s | ratio | Basalt p50 ms | Redis p50 ms |\n|---|---|---|---|---|---|\n'
    for policy in always everysec; do
        cell() { awk -v n="$1" -v p=$policy -v c="$2" '$1==n && $2==p {print $c}' "$work/durable" | median; }
        echo "| $policy | $(cell basalt 3) | $(cell redis 3) | $(ratio "$(cell basalt 3)" "$(cell redis 3)") |" \
            "$(cell basalt 4) | $(cell redis 4) |"
    done
}

load() {
    local name count what began before
    for name in basalt-1 basalt-2 redis; do
        fresh
        count=${name#basalt-}
        what=${name%-*}
        # shellcheck disable=SC2046
        start $what 0,1 $(shards $what "$count") --appendonly no --save ""
        "$open_loop" --port $port --fill yes --rate 0 --hash-fields 0 --keys "$keys" --value-bytes 64
        began=$(date +%s%N)
        redis-cli -p $port save >/dev/null
        echo "$name save $((($(date +%s%N) - began) / 1000000)) $(du -sm "$work/$what" | cut -f1)" >>"$work/load"
        for round in $(seq "$rounds"); do
            stop
            began=$(date +%s%N)
            # shellcheck disable=SC2046
            start $what 0,1 $(shards $what "$count") --appendonly no --save ""
            while redis-cli -p $port get key:000000000000 | grep -q LOADING; do sleep 0.02; done
            echo "$name load $((($(date +%s%N) - began) / 1000000))" >>"$work/load"
            [ "$(redis-cli -p $port dbsize)" = "$keys" ]
        done
    done
    page "Saving and loading"
    echo "$keys keys of 16 bytes with values of 64 hex digits; SAVE of an idle server, then the time from its start to the"
    echo "first answer, median of $rounds. Values are compressed by both (LZ4, LZF)."
    printf '\n| | SAVE s | MiB | load s | keys/s |\n|---|---|---|---|---|\n'
    for name in basalt-1 basalt-2 redis; do
        saved=$(awk -v n=$name '$1==n && $2=="save" {print $3}' "$work/load")
        loaded=$(awk -v n=$name '$1==n && $2=="load" {print $3}' "$work/load" | median)
        echo "| $name | $(ratio "$saved" 1000) | $(awk -v n=$name '$1==n && $2=="save" {print $4}' "$work/load") |" \
            "$(ratio "$loaded" 1000) | $(awk "BEGIN {printf \"%d\", $keys / $loaded * 1000}") |"
    done
}

snapshot() {
    local name round base options digest
    for round in $(seq "$rounds"); do
        for name in basalt redis; do
            fresh
            # shellcheck disable=SC2046
            start $name 1 $(shards $name 1) --appendonly no --save "" --enable-debug-command local
            fill --hash-fields "$fields" --keys "$others"
            options=(--port $port --rate "$rate" --hash-fields "$fields" --keys "$others")
            base=$(anonymous)
            echo "$name without $(taskset -c 0 "$open_loop" "${options[@]}" --seconds 10 | sed -n 1,2p | tr '\n' ' ')" >>"$work/snapshot"
            digest=$(redis-cli -p $port debug digest)
            # The cut comes first, so that the digest is that of the cut.
            redis-cli -p $port bgsave >/dev/null
            # Anonymous pages of the whole machine: a page that a parent and its child share counts
            # once. Reading smaps_rollup of a process of this size instead takes milliseconds of a
            # processor and holds its memory map, which is a stall of its own.
            perl -e '$| = 1; while (1) { open F, "/proc/meminfo"; while (<F>) { print "$1\n" if /^AnonPages: *(\d+)/ }
                select undef, undef, undef, 0.05 }' >"$work/anonymous" &
            sampler=$!
            echo "$name with $(taskset -c 0 "$open_loop" "${options[@]}" --seconds 25 | sed -n 1,2p | tr '\n' ' ')" >>"$work/snapshot"
            while redis-cli -p $port info persistence | grep -q rdb_bgsave_in_progress:1; do sleep 0.2; done
            kill $sampler 2>/dev/null || true; wait $sampler 2>/dev/null || true
            info() { redis-cli -p $port info persistence | tr -d '\r' | awk -F: -v k="$1" '$1==k {print $2}'; }
            slice=-
            [ $name = redis ] || slice=$(info snapshot_longest_slice_usec)/$(info snapshot_slices_above_100_usec)/$(info snapshot_slices)
            took=$(info rdb_last_bgsave_time_sec)
            stop
            # shellcheck disable=SC2046
            start $name 0,1 $(shards $name 1) --appendonly no --save "" --enable-debug-command local
            while redis-cli -p $port get x | grep -q LOADING; do sleep 0.1; done
            same=$([ "$(redis-cli -p $port debug digest)" = "$digest" ] && echo yes || echo NO)
            echo "$name extra $(($(sort -n "$work/anonymous" | tail -1) - base)) $took $slice $same" >>"$work/snapshot"
        done
    done
    page "A snapshot under load"
    echo "A hash of $fields fields and $others other keys, 32-byte values; open load of $rate requests/s, half HSET on that hash,"
    echo "half SET elsewhere; latency in microseconds from the time a request was due; 10 s without a snapshot, then BGSAVE and"
    echo "25 s. Extra memory: the most above the start of the load, in MiB, over all processes, growth by the load included."
    echo "Same: the snapshot, loaded, has the digest of the cut. Each line is one run; one core for the server, one for the load. On a"
    echo "virtual machine the host takes its processors away now and then, for milliseconds, and the time counts as the thread's own:"
    echo "the lines without a snapshot, and the few slices above 100 us, show how often. A line whose generator was late by milliseconds"
    echo "tells of other work on the machine."
    echo
    printf '| | p50 | p99 | p99.9 | p99.99 | max | generator late, max | extra MiB | snapshot s | slices: longest us / above 100 us / all | same |\n|---|---|---|---|---|---|---|---|---|---|---|\n'
    awk '
        $2 == "extra" {
            printf "| %s, BGSAVE | %s | %.0f | %s | %s | %s |\n", $1, line, $3 / 1024, $4, $5, $6; next
        }
        {
            # First the figures of the server, then the same of how late the generator itself was.
            line = ""
            for (i = 1; i < NF; i++) {
                if ($i == "max" || line !~ / \| .* \| .* \| .* \| / && $i ~ /^p[0-9.]+$/) line = line $(i + 1) " | "
            }
            sub(/ \| $/, "", line)
            if ($2 == "without") printf "| %s | %s | | | | |\n", $1, line
        }' "$work/snapshot"
}

mkdir -p bench-results
for part in "${@:-cpu memory durable load snapshot}"; do
    for part in $part; do
        echo "== $part" >&2
        $part >"$work/page"
        stop
        cp "$work/page" "bench-results/$part.md"
        cat "bench-results/$part.md"
    done
done
