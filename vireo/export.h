// Marks what programs that link libvireo may use; the library's other names are hidden in it.
#pragma once

#define VIREO_EXPORT __attribute__((visibility("default")))
// Hides what is inside a class that is marked so.
#define VIREO_HIDDEN __attribute__((visibility("hidden")))
