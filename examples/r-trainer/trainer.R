# A trainer in base R: docs/protocol.md, version 1.
#
#     mimverify check "process:Rscript --vanilla trainer.R" --profile quick
#
# It trains f(x) = sum_j a_j sigma(w_j.x + b_j) on L = (1/n) sum_i l(f(x_i), y_i) layer by layer.

# --- The pipe ---

input <- file("stdin", "rb")
output <- pipe("cat", "wb")  # stdout() is a text connection, which writeBin refuses

# The value behind "key": in a header, as text; headers are flat.
value <- function(header, key) {
  pattern <- paste0('.*"', key, '": ("([^"]*)"|[^,}]*)[,}].*')
  if (!grepl(pattern, header)) stop("a header lacks ", key)
  gsub('"', "", sub(pattern, "\\1", header))
}
number <- function(header, key) as.numeric(value(header, key))

# Arrays are row-major, R's are column-major.
read_array <- function(header, ...) {
  shape <- c(...)
  size <- if (value(header, "dtype") == "float64") 8 else 4
  x <- readBin(input, "double", prod(shape), size = size, endian = "little")
  if (length(x) < prod(shape)) stop("the input ends within an array")
  if (length(shape) == 2) matrix(x, shape[1], shape[2], byrow = TRUE) else x
}

answer <- function(name, x = NULL, shape = NULL, extra = "") {
  array <- if (is.null(x)) "" else
    sprintf(', "dtype": "float64", "shape": [%s]', paste(format(shape, scientific = FALSE,
                                                                trim = TRUE), collapse = ", "))
  writeBin(charToRaw(sprintf('{"answer": "%s"%s%s}\n', name, array, extra)), output)
  if (!is.null(x)) writeBin(as.double(x), output, size = 8, endian = "little")
  flush(output)
}
rows <- function(W) as.vector(t(W))  # a matrix as the wire has it

# --- The network ---

activations <- list(  # sigma and its derivative: even, and quadratic near zero
  "log-cosh" = list(function(z) abs(z) + log1p(exp(-2 * abs(z))) - log(2), tanh),
  "pseudo-huber" = list(function(z) sqrt(1 + z^2) - 1, function(z) z / sqrt(1 + z^2)),
  "quadratic" = list(function(z) z^2 / 2, identity)
)
losses <- list(  # dl/df of u = f - y
  "squared" = identity,
  "huber" = function(u) pmin(pmax(u, -1), 1)
)

# W - eta (grad_W L + beta W), on all rows of X.
step <- function(W, a, b, X, y, eta, beta, activation, loss) {
  sigma <- activations[[activation]]
  P <- sweep(tcrossprod(X, W), 2, b, "+")
  slope <- losses[[loss]](as.vector(sigma[[1]](P) %*% a) - y)
  W - eta * (a * crossprod(slope * sigma[[2]](P), X) / length(y) + beta * W)
}

# --- The whole algorithm: stage 1 on the first half of the rows, stage 2 on the second ---

model <- NULL

hidden <- function(W, b, X) activations[["log-cosh"]][[1]](sweep(tcrossprod(X, W), 2, b, "+"))

fit <- function(X, y, seed) {
  # Seeds go to 2^32 - 1, R's are integers of 32 bits with a sign.
  set.seed(if (seed < 2^31) seed else seed - 2^32)
  n <- nrow(X) %/% 2
  d <- ncol(X)
  m <- 128
  first <- seq_len(n)
  X1 <- X[first, , drop = FALSE]
  X2 <- X[-first, , drop = FALSE]

  # Centring: the constant c with mean_i l'(c, y_i) = 0, by fixed-point iteration.
  c <- mean(y[first])
  for (round in 1:100) c <- c - mean(losses[["huber"]](c - y[first]))

  # Symmetric start: w_j = w_{j+m/2} small, a_j = -a_{j+m/2}, b = 0; then f = 0.
  half <- matrix(0.01 * rnorm(m / 2 * d), m / 2, d)
  W <- rbind(half, half)
  a <- rep(c(1, -1), each = m / 2)
  # beta = 1/eta, hence power iteration.
  steps <- min(ceiling(log(d) / log(max(n / d, 1.1))), 30) + 2
  for (t in seq_len(steps)) W <- step(W, a, 0, X1, y[first] - c, 1, 1, "quadratic", "huber")

  # Stage 2: unit rows w_j, frozen; fresh b_j ~ N(0, 1); ridge regression for a.
  W <- W / pmax(sqrt(rowSums(W^2)), 1e-300)
  b <- rnorm(m)
  centre <- mean(y[-first])
  H <- hidden(W, b, X2)
  a <- solve(crossprod(H) + 1e-3 * nrow(H) * diag(m), crossprod(H, y[-first] - centre))
  list(W = W, b = b, a = as.vector(a), centre = centre)
}

predict_rows <- function(X) as.vector(hidden(model$W, model$b, X) %*% model$a) + model$centre

# --- Requests ---

names_of <- function(x) paste0('["', paste(x, collapse = '", "'), '"]')
hello <- paste0(
  ', "protocol": 1, "methods": ', names_of(c("step", "trajectory", "fit", "predict", "first_layer")),
  ', "activations": ', names_of(names(activations)), ', "losses": ', names_of(names(losses)),
  ', "dtypes": ["float64"], "random_state": true'
)

serve <- function(header) {
  request <- value(header, "request")
  if (request == "hello") {
    answer("hello", extra = hello)
  } else if (request %in% c("step", "trajectory")) {
    n <- number(header, "n"); m <- number(header, "m"); d <- number(header, "d")
    W <- read_array(header, m, d); a <- read_array(header, m); b <- read_array(header, m)
    X <- read_array(header, n, d); y <- read_array(header, n)
    after <- function(W) step(W, a, b, X, y, number(header, "eta"), number(header, "beta"),
                              value(header, "activation"), value(header, "loss"))
    if (request == "step") {
      answer("step", rows(after(W)), c(m, d))
    } else {
      steps <- number(header, "steps")
      weights <- vector("list", steps + 1)
      weights[[1]] <- W
      for (t in seq_len(steps)) weights[[t + 1]] <- after(weights[[t]])
      answer("trajectory", unlist(lapply(weights, rows)), c(steps + 1, m, d))
    }
  } else if (request == "fit") {
    n <- number(header, "n"); d <- number(header, "d")
    X <- read_array(header, n, d); y <- read_array(header, n)
    model <<- NULL
    model <<- fit(X, y, number(header, "random_state"))
    answer("fit")
  } else if (request == "predict") {
    X <- read_array(header, number(header, "n"), number(header, "d"))
    answer("predict", predict_rows(X), nrow(X))
  } else if (request == "first_layer") {
    answer("first_layer", rows(model$W), dim(model$W))
  } else {
    stop("unknown request ", request)
  }
}

while (length(header <- readLines(input, 1)) > 0) serve(header)  # an error ends R, and is shown
