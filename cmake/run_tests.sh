#!/usr/bin/env bash
# Runs ctest in a build folder, then prints why tests were skipped and the totals.
set -euo pipefail
build=$1
shift
# gcc 12's thread sanitizer cannot live with the address randomisation of newer kernels.
prefix=()
if grep -q '^PARE_SANITIZE:[A-Z]*=thread' "$build/CMakeCache.txt" && setarch -R true 2> /dev/null; then
  prefix=(setarch -R)
fi
result=0
"${prefix[@]}" ctest --test-dir "$build" --progress --output-on-failure -j "$(nproc)" \
  --output-junit tests.xml "$@" || result=$?
awk '
  /<testcase / { reason = ""; skipped = 0; total++ }
  /<testcase .*status="fail"/ { failed++ }
  /<skipped/ { skipped = 1 }
  after { reason = $0; after = 0 }
  skipped && /: Skipped$/ { after = 1 }
  /<\/testcase>/ && skipped { count++; reasons[reason]++ }
  END {
    if (count) printf "\n%d tests skipped:\n", count
    for (reason in reasons) printf "  %d: %s\n", reasons[reason], reason == "" ? "no reason given" : reason
    printf "%d passed, %d failed, %d skipped\n", total - failed - count, failed, count
  }' "$build/tests.xml"
exit $result
