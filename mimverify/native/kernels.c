/* The pass and the features in both precisions, for the level that this file is compiled for. */
#include "polynomials.h"

#define SINGLE 1
#include "vectors.h"

#include "functions.h"

#include "network.h"

#include "pass.h"

#undef SINGLE
#define SINGLE 0
#include "vectors.h"

#include "functions.h"

#include "network.h"

#include "pass.h"
