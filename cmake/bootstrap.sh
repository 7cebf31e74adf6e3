#!/usr/bin/env bash
# From a bare Debian 12 to a result: `demo` runs the quickstart, `test` runs all tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command=${1:-}
if [ $# != 1 ] || [[ ! $command =~ ^(demo|test)$ ]]; then
  echo "usage: ./cmake/bootstrap.sh demo|test" >&2
  exit 2
fi

./cmake/packages.sh g++ cmake ninja-build ccache libdnnl-dev ocl-icd-opencl-dev libeigen3-dev \
  libfmt-dev nlohmann-json3-dev zlib1g-dev libstb-dev libprotozero-dev libcli11-dev \
  libgtest-dev libgmock-dev libbenchmark-dev

build=build/release
if [ ! -f $build/build.ninja ]; then
  echo "== Configuring in $build"
  cmake --preset release
fi

case $command in
  demo)
    echo "== Building the library and examples/quickstart"
    cmake --build $build --target quickstart
    echo "== Running $build/examples/quickstart"
    $build/examples/quickstart
    ;;
  test)
    echo "== Building the library, its tests and examples"
    cmake --build $build
    echo "== Running the tests"
    ./cmake/run_tests.sh $build
    ;;
esac
