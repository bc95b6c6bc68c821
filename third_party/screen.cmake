# What a screen for viewers needs (devices/display). Nettle (>= 3.8) has DES, SHA-1 and base64. Of gnutls and
# libxkbcommon the headers only: they are loaded when a screen needs them, as libslirp is.
find_path(NETTLE_INCLUDE nettle/des.h REQUIRED)
add_library(nettle INTERFACE)
target_include_directories(nettle SYSTEM INTERFACE ${NETTLE_INCLUDE})
package_library(nettle nettle)

find_path(GNUTLS_INCLUDE gnutls/gnutls.h REQUIRED)
find_path(XKBCOMMON_INCLUDE xkbcommon/xkbcommon.h REQUIRED)
add_library(screen_headers INTERFACE)
target_include_directories(screen_headers SYSTEM INTERFACE
  ${GNUTLS_INCLUDE} ${XKBCOMMON_INCLUDE})
target_link_libraries(screen_headers INTERFACE ${CMAKE_DL_LIBS})
