// The names of spatial axes, for messages.
#pragma once

namespace pare {

/// Of axis `axis` of 1, 2 or 3 spatial ones.
inline const char* axis_name(int axis, int spatial) {
  const char* names[] = {"depth", "height", "width"};
  return spatial == 1 ? "length" : names[3 - spatial + axis];
}

}  // namespace pare
