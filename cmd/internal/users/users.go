// Package users deals examples to the users of simulated devices: what each shows, and what devices are asked about.
//
// [Digits] gives everybody few classes, [Activities] one person's movements. Both take the real sets where the data folder has
// them, and else what the project generates, and say so. What is dealt is a function of the arguments and the files.
package users

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/senses"
	"github.com/yanmesh/yan/sim"
)

// A User is what one user shows, and what the device is asked about for that user alone. Nothing is both.
type User struct {
	Name         string
	Shown, Asked *sim.Examples
}

// A Crowd is users, and what all of their devices are asked about.
type Crowd struct {
	Users []User
	Asked *sim.Examples // nil if it is what users are asked about
	Note  string        // where it came from, for people
}

const (
	askedDigits = 2000 // that everyone is asked about
	ownDigits   = 40   // of them, at most, of a user's own classes
)

// The real sets.
var (
	digitsTrain = []string{"images:mnist/train-images-idx3-ubyte.gz,mnist/train-labels-idx1-ubyte.gz",
		"images:mnist/test-images-idx3-ubyte.gz,mnist/test-labels-idx1-ubyte.gz"}
	digitsTest = []string{"images:mnist/t10k-images-idx3-ubyte.gz,mnist/t10k-labels-idx1-ubyte.gz"}
	motions    = []string{"sensors:har_phone_watch/windows-int16-idx.gz,har_phone_watch/labels-ubyte-idx.gz,har_phone_watch/subjects-ubyte-idx.gz"}
)

// Digits deals pictures of digits to n users as federated averaging was tried on (McMahan et al. 2017, section 3): they are sorted by
// class and cut into as many shards as there are users times classes, and each user gets so many shards by chance, and of each its first
// amount/classes pictures. A shard may lie across two classes. Where there are not enough pictures for all, several users have the same.
// Everyone is asked about pictures of all digits that nobody shows: of MNIST 2,000 of the official test images.
func Digits(n, amount, classes int, seed uint64) (*Crowd, error) {
	if n < 1 || classes < 1 || amount < classes {
		return nil, fmt.Errorf("users: %d users with %d pictures of %d classes make no sense", n, amount, classes)
	}
	train, test, note := dataset.Strokes(max(min(n*amount, 10_000), 200), 1), dataset.Strokes(200, 2), "digits that the project draws"
	if _, ok := dataset.Root(); ok {
		var err error
		if train, err = open(digitsTrain); err != nil {
			return nil, err
		}
		if test, err = open(digitsTest); err != nil {
			return nil, err
		}
		note = "MNIST from the data folder: 10,000 of its training digits, and of its official test images 2,000"
	}
	asked, labels, err := encode(few(test, askedDigits, seed))
	if err != nil {
		return nil, err
	}
	shown, classOf, err := encode(train)
	if err != nil {
		return nil, err
	}
	c := &Crowd{Asked: asked, Note: note}
	r := rand.New(rand.NewPCG(seed, 0x646967))
	for _, part := range deal(classOf, n, amount, classes, r) {
		u := User{Name: fmt.Sprintf("device-%05d", len(c.Users)), Shown: pick(shown, part)}
		var own []int
		for _, i := range r.Perm(len(labels)) {
			if len(own) < ownDigits && slices.Contains(u.Shown.Labels, asked.Labels[i]) {
				own = append(own, i)
			}
		}
		if len(own) > 0 {
			u.Asked = pick(asked, own)
		}
		c.Users = append(c.Users, u)
	}
	if most := len(classOf); n*amount > most {
		c.Note += fmt.Sprintf("; %d users show the same pictures, about, since there are %d", n*amount/most, most)
	}
	return c, nil
}

// deal returns which examples each of n users shows.
func deal(labels []int, n, amount, classes int, r *rand.Rand) (parts [][]int) {
	passes := (n*amount + len(labels) - 1) / len(labels)
	for k := range passes {
		of := (k+1)*n/passes - k*n/passes
		order := r.Perm(len(labels))
		slices.SortStableFunc(order, func(a, b int) int { return labels[a] - labels[b] })
		shards := of * classes
		for i, s := range r.Perm(shards) {
			shard := order[s*len(order)/shards : (s+1)*len(order)/shards]
			if i%classes == 0 {
				parts = append(parts, nil)
			}
			last := &parts[len(parts)-1]
			*last = append(*last, shard[:min(len(shard), amount/classes)]...)
		}
	}
	for _, p := range parts { // the order in which they are shown
		r.Shuffle(len(p), func(i, j int) { p[i], p[j] = p[j], p[i] })
	}
	return parts
}

// Activities gives each of n users what one person's phone felt, sorted by person: at most amount windows of a second, and a fifth of all
// that there are, the last of each activity, to be asked about. Beyond the 23 people of the real set they are generated.
func Activities(n, amount int, seed uint64) (*Crowd, error) {
	if n < 1 || amount < 1 {
		return nil, fmt.Errorf("users: %d users with %d windows make no sense", n, amount)
	}
	c := &Crowd{}
	var sets []*dataset.Set
	if _, ok := dataset.Root(); ok {
		set, err := open(motions)
		if err != nil {
			return nil, err
		}
		sets, c.Note = people(set), "people's phones from the data folder"
		sets = sets[:min(n, len(sets))]
		c.Note = fmt.Sprintf("%d %s", len(sets), c.Note)
	}
	if more := n - len(sets); more > 0 {
		sets = append(sets, people(dataset.Motions(more, 30, seed))...)
		if c.Note != "" {
			c.Note += " and "
		}
		c.Note += fmt.Sprintf("%d people whom the project makes up", more)
	}
	for i, set := range sets {
		all, labels, err := encode(set)
		if err != nil {
			return nil, err
		}
		shown, asked := tail(labels)
		if len(shown) > amount {
			shown = thin(shown, amount)
		}
		u := User{Name: fmt.Sprintf("phone-%05d", i), Shown: pick(all, shown)}
		if len(asked) > 0 {
			u.Asked = pick(all, asked)
		}
		c.Users = append(c.Users, u)
	}
	return c, nil
}

// people divides a set by whose the examples are, in the order of their first one.
func people(set *dataset.Set) (sets []*dataset.Set) {
	at := map[string]int{}
	for _, e := range set.Items {
		k, ok := at[e.Who]
		if !ok {
			k = len(sets)
			at[e.Who] = k
			one := *set
			one.Items = nil
			sets = append(sets, &one)
		}
		sets[k].Items = append(sets[k].Items, e)
	}
	return sets
}

// tail takes the last fifth of each class away from the rest.
func tail(labels []int) (shown, asked []int) {
	count, seen := map[int]int{}, map[int]int{}
	for _, l := range labels {
		count[l]++
	}
	for i, l := range labels {
		if seen[l]++; seen[l] > count[l]-count[l]/5 {
			asked = append(asked, i)
		} else {
			shown = append(shown, i)
		}
	}
	return shown, asked
}

// thin keeps n of a list, evenly.
func thin(list []int, n int) (kept []int) {
	for k := range n {
		kept = append(kept, list[k*len(list)/n])
	}
	return kept
}

// few keeps n examples of a set, drawn by chance.
func few(set *dataset.Set, n int, seed uint64) *dataset.Set {
	s := *set
	s.Items = nil
	for _, i := range rand.New(rand.NewPCG(seed, 0x666577)).Perm(len(set.Items))[:min(n, len(set.Items))] {
		s.Items = append(s.Items, set.Items[i])
	}
	return &s
}

// encode makes examples of a set, and lists their labels as numbers too.
func encode(set *dataset.Set) (x *sim.Examples, labels []int, err error) {
	x = &sim.Examples{}
	if x.Inputs, x.X, err = senses.Encode(set); err != nil {
		return nil, nil, err
	}
	for _, e := range set.Items {
		x.Labels = append(x.Labels, set.Classes[e.Label])
		labels = append(labels, e.Label)
	}
	return x, labels, nil
}

// pick returns the examples at these places.
func pick(x *sim.Examples, at []int) *sim.Examples {
	y := &sim.Examples{Inputs: x.Inputs}
	for _, i := range at {
		y.X, y.Labels = append(y.X, x.Row(i)...), append(y.Labels, x.Labels[i])
	}
	return y
}

// open reads data arguments as one set.
func open(args []string) (all *dataset.Set, err error) {
	for _, arg := range args {
		s, err := dataset.OpenSet(arg)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = s
		} else if all, err = all.Join(s); err != nil {
			return nil, err
		}
	}
	return all, nil
}
