// Vireo as a library: all that a program includes. docs/embedding.md has an introduction.
#pragma once

#include "vireo/console.h"
#include "vireo/description.h"
#include "vireo/end.h"
#include "vireo/error.h"
#include "vireo/machine.h"
#include "vireo/units.h"
#include "vireo/version.h"
