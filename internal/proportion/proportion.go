// Package proportion says what counts of samples prove about the share behind them.
package proportion

import "math"

// Coverage is the share of intended samples that must have been taken before those
// that were can stand for all: an outage may hide among the rest.
const Coverage = 0.999

// Covered reports whether enough of the intended samples were taken. Where none were
// intended, nothing is covered.
func Covered(taken, intended int64) bool {
	return intended > 0 && float64(intended-taken) <= (1-Coverage)*float64(intended)*(1+1e-9)
}

// UpperBound returns the share of failures that samples rule out with the given
// confidence, 0 to 1: were the true share higher, so few failures would be less likely
// than 1-confidence. It is the exact one-sided bound of Clopper and Pearson; with no
// failure and a confidence of 0.95 it is close to 3/samples, the rule of three. Without
// samples nothing is ruled out, and it is 1.
func UpperBound(failed, samples int64, confidence float64) float64 {
	if samples <= 0 || failed >= samples {
		return 1
	}
	failed = max(failed, 0)
	low, high := float64(failed)/float64(samples), 1.0
	for range 64 {
		middle := (low + high) / 2
		if atMost(failed, samples, middle) > 1-confidence {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// atMost is the probability of up to failed failures among samples when each fails
// with probability p, above 0 and below 1: the sum over the binomial distribution,
// from its last term down, which is the largest when p is above failed/samples.
func atMost(failed, samples int64, p float64) float64 {
	n, k := float64(samples), float64(failed)
	lgamma := func(x float64) float64 { v, _ := math.Lgamma(x); return v }
	term := math.Exp(lgamma(n+1) - lgamma(k+1) - lgamma(n-k+1) + k*math.Log(p) + (n-k)*math.Log1p(-p))
	sum := term
	for ; k > 0 && term > sum*1e-17; k-- {
		term *= k / (n - k + 1) * (1 - p) / p
		sum += term
	}
	return sum
}
