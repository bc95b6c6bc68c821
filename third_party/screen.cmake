# What a screen for viewers needs (devices/display). Nettle (>= 3.8: DES, SHA-1, base64) is static:
# a few small functions. Of gnutls and libxkbcommon the headers only: they are loaded when a screen
# needs them, as libslirp is.
find_library(NETTLE NAMES libnettle.a REQUIRED)
find_path(NETTLE_INCLUDE nettle/des.h REQUIRED)
add_library(nettle INTERFACE)
target_include_directories(nettle SYSTEM INTERFACE $<BUILD_INTERFACE:${NETTLE_INCLUDE}>)
target_link_libraries(nettle INTERFACE ${NETTLE})

find_path(GNUTLS_INCLUDE gnutls/gnutls.h REQUIRED)
find_path(XKBCOMMON_INCLUDE xkbcommon/xkbcommon.h REQUIRED)
add_library(screen_headers INTERFACE)
target_include_directories(screen_headers SYSTEM INTERFACE
  $<BUILD_INTERFACE:${GNUTLS_INCLUDE}> $<BUILD_INTERFACE:${XKBCOMMON_INCLUDE}>)
target_link_libraries(screen_headers INTERFACE ${CMAKE_DL_LIBS})
install(TARGETS nettle screen_headers EXPORT vireo)
