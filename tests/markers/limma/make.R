# Makes p_values.csv from data.csv; run with limma 3.54.1.
library(limma)
d <- read.csv("data.csv")
x <- t(as.matrix(d[, -(1:2)]))
fit <- lmFit(x, model.matrix(~ case + covariate, d))
trend <- eBayes(fit, trend = TRUE)
write.csv(data.frame(
  gene = rownames(x),
  p_constant = eBayes(fit)$p.value[, "case"],
  p_trend = trend$p.value[, "case"],
  variance_trend = trend$s2.post,
  p_treat = treat(fit, lfc = 0.5, trend = TRUE)$p.value[, "case"],
  p_plain = eBayes(lmFit(x, model.matrix(~ case, d)), trend = TRUE)$p.value[, "case"]
), "p_values.csv", row.names = FALSE)
