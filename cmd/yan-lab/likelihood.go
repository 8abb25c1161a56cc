package main

import "math"

// What a mind by likelihood expects of a stream: that what the base knows has such a share of all lines, that at the
// end of a line so much of what it believed is open again, and after any other byte so much. Chosen on the interleaved
// validation part of the course far, seed 1, of four, five and three values each.
const (
	baseShare  = 0.9
	lineShare  = 0.8
	innerShare = 0.002
)

// byLikelihood predicts with the base alone and with each skill open side by side, and believes each as far as what it
// predicted before came true: Bayes' rule over experts that may be exchanged at any byte, and at the end of a line most
// of all (fixed share, Herbster and Warmuth 1998). Evidence is what the owner cares about, surprise itself; no gate
// is solved, and no threshold set.
func byLikelihood(q *question) (predictor, error) {
	return func(text []byte) []float64 {
		nats, _ := mixture(experts(q, text), text, baseShare, lineShare, innerShare)
		return nats
	}, nil
}

// likelihoodOpens is how far each skill is believed.
func likelihoodOpens(q *question, text []byte) ([][]float64, error) {
	_, belief := mixture(experts(q, text), text, baseShare, lineShare, innerShare)
	return belief[1:], nil
}

// experts is how surprising a text is to the base alone, and then to the base with each skill open.
func experts(q *question, text []byte) [][]float64 {
	list := [][]float64{predicts(q.base)(text)}
	for _, b := range q.banks {
		b.Gate.Force = true
		list = append(list, predicts(q.base.WithBanks(b))(text))
	}
	return list
}

// mixture is the surprise at what experts predict together, and how far each was believed before each byte.
func mixture(list [][]float64, text []byte, prior, atLine, inside float64) (nats []float64, belief [][]float64) {
	n := len(list)
	first := make([]float64, n)
	for k := range first {
		first[k] = (1 - prior) / float64(max(n-1, 1))
	}
	first[0] = prior
	if n == 1 {
		first[0] = 1
	}
	w := append([]float64(nil), first...)
	nats = make([]float64, len(text))
	belief = make([][]float64, n)
	for k := range belief {
		belief[k] = make([]float64, len(text))
	}
	for t := range text {
		if t > 0 {
			share := inside
			if text[t-1] == '\n' {
				share = atLine
			}
			for k := range w {
				w[k] = (1-share)*w[k] + share*first[k]
			}
		}
		least := math.Inf(1)
		for k := range w {
			belief[k][t] = w[k]
			least = min(least, list[k][t])
		}
		var sum float64
		for k := range w {
			w[k] *= math.Exp(least - list[k][t])
			sum += w[k]
		}
		for k := range w {
			w[k] /= sum
		}
		nats[t] = least - math.Log(sum)
	}
	return nats, belief
}
