// A library of the host that is loaded when it is needed and not before: linked, it and the ones
// that it brings along would cost every start some milliseconds.
//
// Thread: any; immutable after construction. It stays loaded: such libraries keep state.
#pragma once

#include <string>

namespace vireo {

class SharedLibrary {
 public:
  // "libgnutls.so.30", "libgnutls30" (Debian's package), "TLS needs" (what for). Throws ConfigError
  // when it is not installed.
  SharedLibrary(const std::string& name, const std::string& package, const std::string& purpose);

  // Throws ConfigError when the library does not have it.
  template <class Function>
  void find(const char* name, Function*& function) const {
    function = reinterpret_cast<Function*>(symbol(name));
  }

 private:
  void* symbol(const char* name) const;

  std::string name_;
  void* library_;
};

}  // namespace vireo
