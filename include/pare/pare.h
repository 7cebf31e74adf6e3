// All of pare's public headers.
#pragma once

#include "pare/core/export.h"
#include "pare/version.h"
