#include "vireo/version.h"

namespace vireo {

const char* version() noexcept {
  return VIREO_VERSION;
}

}  // namespace vireo
