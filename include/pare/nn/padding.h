// Layers that put a border around a signal or picture.
#pragma once

#include "pare/nn/module.h"

namespace pare::nn {

/// `.padding = 1` on both ends, `.padding = {1, 2}` before and after.
struct Border1d {
  std::int64_t left, right;
  constexpr Border1d(std::int64_t both) : left(both), right(both) {}
  constexpr Border1d(std::int64_t l, std::int64_t r) : left(l), right(r) {}
};
/// `.padding = 1` on all sides, or left, right, top, bottom (PyTorch's order).
struct Border2d {
  std::int64_t left, right, top, bottom;
  constexpr Border2d(std::int64_t all) : left(all), right(all), top(all), bottom(all) {}
  constexpr Border2d(std::int64_t l, std::int64_t r, std::int64_t t, std::int64_t b)
      : left(l), right(r), top(t), bottom(b) {}
};

struct Pad1dOptions {
  Border1d padding = 0;
};
struct Pad2dOptions {
  Border2d padding = 0;
};
struct ConstantPad1dOptions {
  Border1d padding = 0;  ///< negative numbers crop
  double value = 0;
};
struct ConstantPad2dOptions {
  Border2d padding = 0;  ///< negative numbers crop
  double value = 0;
};

/// What the layers below share: one call of pad.
struct PARE_API PaddingModule : Module {
  Tensor forward(const Tensor& x) override;

 protected:
  explicit PaddingModule(Call call) : call_(std::move(call)) {}

 private:
  Call call_;
};

/// x [N, C, L]; a constant border. Forward throws invalid_argument for other ranks.
struct PARE_API ConstantPad1d : PaddingModule {
  explicit ConstantPad1d(ConstantPad1dOptions options);
  std::string kind() const override;
};
/// x [N, C, H, W]; a constant border. Forward throws invalid_argument for other ranks.
struct PARE_API ConstantPad2d : PaddingModule {
  explicit ConstantPad2d(ConstantPad2dOptions options);
  std::string kind() const override;
};
/// x [N, C, H, W]; a border of zeros.
struct PARE_API ZeroPad2d : PaddingModule {
  explicit ZeroPad2d(Pad2dOptions options);
  std::string kind() const override;
};
/// x [N, C, L]; mirrored at the outermost element. Forward throws invalid_argument for a border
/// that is not below L.
struct PARE_API ReflectionPad1d : PaddingModule {
  explicit ReflectionPad1d(Pad1dOptions options);
  std::string kind() const override;
};
/// x [N, C, H, W]; as ReflectionPad1d.
struct PARE_API ReflectionPad2d : PaddingModule {
  explicit ReflectionPad2d(Pad2dOptions options);
  std::string kind() const override;
};
/// x [N, C, L]; the outermost element repeated.
struct PARE_API ReplicationPad1d : PaddingModule {
  explicit ReplicationPad1d(Pad1dOptions options);
  std::string kind() const override;
};
/// x [N, C, H, W]; the outermost element repeated.
struct PARE_API ReplicationPad2d : PaddingModule {
  explicit ReplicationPad2d(Pad2dOptions options);
  std::string kind() const override;
};
/// x [N, C, L]; the elements of the other end. Forward throws invalid_argument for a border above
/// L.
struct PARE_API CircularPad1d : PaddingModule {
  explicit CircularPad1d(Pad1dOptions options);
  std::string kind() const override;
};
/// x [N, C, H, W]; as CircularPad1d.
struct PARE_API CircularPad2d : PaddingModule {
  explicit CircularPad2d(Pad2dOptions options);
  std::string kind() const override;
};

}  // namespace pare::nn
