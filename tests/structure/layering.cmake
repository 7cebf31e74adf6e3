# Who may include whom, and which library shows where: docs/design.md's table as data.

# may_include_<module>: the modules it may include besides itself and pare/version.h.
set(may_include_core)
set(may_include_nn core)
set(may_include_models core nn)
set(may_include_optim core)
set(may_include_data core)
set(may_include_graph core nn)
set(may_include_io core nn optim graph)
set(may_include_train core nn optim data io)
set(may_include_runtime core graph)
set(methods quantize prune distill factorize share)
foreach(method IN LISTS methods)
  set(may_include_${method} core nn models optim data train graph runtime)
endforeach()
set(may_include_onednn core runtime)
set(may_include_kernels core runtime onednn)  # src/kernels.cpp, the composition
set(modules core nn models optim data graph io train runtime ${methods} onednn kernels)
set(may_include_cli ${modules})
list(APPEND modules cli)

# Third parties: "what is included" "where it may be" (regular expressions), never in include/.
set(third_parties
  "^(oneapi/dnnl/|dnnl)" "^src/onednn/"
  "^Eigen/" "^src/(core|quantize|prune|distill|factorize|share)/"
  "^omp\\.h$" "^src/core/parallel\\.cpp$"
  "^fmt/" "^src/"
  "^hwy/" "^src/"
  "^nlohmann/" "^src/(io|cli)/"
  "^protozero/" "^src/io/"
  "^zstd\\.h$" "^src/io/"
  "^zlib\\.h$" "^src/(data|io)/"
  "^stb" "^src/data/"
  "^CLI/" "^src/cli/"
  # The system: POSIX anywhere, what assumes x86 in two modules alone.
  "^(sys/[a-z]+|cerrno|cxxabi|dlfcn|fcntl|sched|signal|unistd|pthread)\\.h$" "^src/"
  "^(immintrin|x86intrin|cpuid)\\.h$" "^src/(core|onednn)/"
)
