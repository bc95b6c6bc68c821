#ifdef __SANITIZE_THREAD__
// The system's libstdc++ is not instrumented: TSan cannot see that an exception_ptr counts its
// references atomically, and takes an exception that comes back from another thread for a race.
// TSan's own library looks for this name, which is not hidden therefore.
extern "C" __attribute__((visibility("default"))) const char* __tsan_default_suppressions() {
  return "race:std::__exception_ptr::exception_ptr::_M_release\n";
}
#endif
