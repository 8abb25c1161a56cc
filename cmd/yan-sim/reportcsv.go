package main

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/yanmesh/yan/protocol"
)

// The columns of every table are explained in docs/report.md.

func encodeCSV(rows [][]string) ([]byte, error) {
	var b bytes.Buffer
	err := csv.NewWriter(&b).WriteAll(rows)
	return b.Bytes(), err
}

func seconds(d time.Duration) string { return number(d.Seconds()) }

// curvesCSV is what devices knew, over time and at the end.
func (s summary) curvesCSV() [][]string {
	rows := [][]string{{"seconds", "who", "devices",
		"bits_mean", "bits_min", "bits_q1", "bits_median", "bits_q3", "bits_max",
		"accuracy_mean", "accuracy_min", "accuracy_q1", "accuracy_median", "accuracy_q3", "accuracy_max",
		"own_bits_mean", "bytes_sent"}}
	for _, p := range s.seen.points {
		row := []string{seconds(p.at), "sample", strconv.Itoa(p.devices)}
		for _, b := range []band{p.bits, p.accuracy} {
			for _, v := range []float64{b.Mean, b.Min, b.Low, b.Mid, b.High, b.Max} {
				row = append(row, number(v))
			}
		}
		rows = append(rows, append(row, number(p.own.Mean), strconv.FormatUint(p.sent, 10)))
	}
	for _, w := range ways {
		row := make([]string, len(rows[0]))
		row[0], row[1] = number(s.Virtual), w.name
		row[3], row[9], row[15] = number(w.get(s.Bits)), number(w.get(s.Accuracy)), number(w.get(s.OwnBits))
		rows = append(rows, row)
	}
	return rows
}

// bytesCSV is what all devices together had sent by a time.
func (s summary) bytesCSV() [][]string {
	head := []string{"seconds", "devices_up", "messages_lost"}
	for k := protocol.KindHello; k <= protocol.KindPart; k++ {
		head = append(head, k.String())
	}
	rows := [][]string{head}
	for _, v := range s.seen.sent {
		row := []string{seconds(v.at), strconv.Itoa(v.up), strconv.FormatUint(v.lost, 10)}
		for k := protocol.KindHello; k <= protocol.KindPart; k++ {
			row = append(row, strconv.FormatUint(v.bytes[k], 10))
		}
		rows = append(rows, row)
	}
	return rows
}

// taughtCSV is who taught whom, pair by pair; of many devices, what each taught all.
func (c *chronicle) taughtCSV() [][]string {
	rows := [][]string{{"teacher", "lies", "pupil", "tried", "taken_in", "undone", "refused", "harmed_later", "shunned", "gain_nats", "cost_nats"}}
	row := func(teacher int, pupil string, l *lesson) {
		r := []string{c.name(teacher), c.lies[teacher], pupil}
		for _, n := range []int{l.tried, l.taken, l.harmful, l.refused, l.regretted, l.shunned} {
			r = append(r, strconv.Itoa(n))
		}
		rows = append(rows, append(r, number(l.gain), number(l.cost)))
	}
	if c.pairs == nil {
		for i := range c.teachers {
			row(i, "", &c.teachers[i])
		}
		return rows
	}
	keys := make([]pair, 0, len(c.pairs))
	for k := range c.pairs {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b pair) int { return cmp.Or(cmp.Compare(a.teacher, b.teacher), cmp.Compare(a.pupil, b.pupil)) })
	for _, k := range keys {
		row(k.teacher, c.name(k.pupil), c.pairs[k])
	}
	return rows
}

// centralCSV is what centrals said, skill by skill.
func (c *chronicle) centralCSV() [][]string {
	rows := [][]string{{"seconds", "term", "rank", "device", "skill", "versions", "taken_in", "undone", "refused", "gain_nats", "cost_nats"}}
	for _, t := range c.order {
		o := c.turns[t]
		rows = append(rows, []string{seconds(o.at), fmt.Sprint(uint64(t.term)), fmt.Sprint(o.rank), c.name(t.central), t.skill,
			strconv.Itoa(o.versions), strconv.Itoa(o.taken), strconv.Itoa(o.harmful), strconv.Itoa(o.refused), number(o.gain), number(o.cost)})
	}
	return rows
}

// failuresCSV is what went wrong, one by one.
func (c *chronicle) failuresCSV() [][]string {
	rows := [][]string{{"seconds", "what", "device", "peer", "skill", "gain_nats"}}
	for _, m := range c.mishaps {
		rows = append(rows, []string{seconds(m.at), string(m.what), c.name(m.device), c.name(m.peer), m.skill, number(m.gain)})
	}
	return rows
}
