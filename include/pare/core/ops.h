// All ops as functions on tensors.
#pragma once

#include "pare/core/ops/arrange.h"
#include "pare/core/ops/contraction.h"
#include "pare/core/ops/convolution.h"
#include "pare/core/ops/elementwise.h"
#include "pare/core/ops/indexing.h"
#include "pare/core/ops/loss.h"
#include "pare/core/ops/movement.h"
#include "pare/core/ops/normalization.h"
#include "pare/core/ops/observe.h"
#include "pare/core/ops/pooling.h"
#include "pare/core/ops/products.h"
#include "pare/core/ops/quantization.h"
#include "pare/core/ops/reduction.h"
#include "pare/core/ops/resample.h"
#include "pare/core/ops/sort.h"
