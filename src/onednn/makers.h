// The makers of a plan's primitives, for runtime::kPrimitives.
#pragma once

#include <memory>

#include "runtime/primitives.h"

namespace pare::onednn {

std::unique_ptr<runtime::Primitive> make_convolution(const runtime::ConvolutionSpec& spec);
std::unique_ptr<runtime::Primitive> make_dense(const runtime::DenseSpec& spec);

}  // namespace pare::onednn
