package users

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/sim"
)

// without the data folder.
func without(t *testing.T) { t.Setenv("YAN_DATA", t.TempDir()+"/none") }

func classes(x *sim.Examples) []string {
	list := slices.Clone(x.Labels)
	slices.Sort(list)
	return slices.Compact(list)
}

func TestDigitsAreDealtByClass(t *testing.T) {
	without(t)
	c, err := Digits(20, 20, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	two := 0
	for _, u := range c.Users {
		has := classes(u.Shown)
		if u.Shown.Len() != 20 || len(has) > 4 {
			t.Errorf("%s shows %d pictures of %v", u.Name, u.Shown.Len(), has)
		}
		if len(has) <= 2 {
			two++
		}
		for _, l := range has {
			all[l] = true
		}
		for _, l := range classes(u.Asked) {
			if !slices.Contains(has, l) {
				t.Errorf("%s is asked about %s alone, and shows %v", u.Name, l, has)
			}
		}
	}
	if len(all) != 10 || two < 10 || len(classes(c.Asked)) != 10 {
		t.Errorf("%d classes are shown, %d of 20 users show two, and %v are asked about", len(all), two, classes(c.Asked))
	}
	again, err := Digits(20, 20, 2, 1)
	if err != nil || !slices.Equal(again.Users[7].Shown.X, c.Users[7].Shown.X) {
		t.Errorf("the same arguments deal other pictures: %v", err)
	}
	other, err := Digits(20, 20, 2, 2)
	if err != nil || slices.Equal(other.Users[7].Shown.X, c.Users[7].Shown.X) {
		t.Errorf("another seed deals the same pictures: %v", err)
	}
}

// As long as there are enough nobody shows what another shows, and beyond that everybody still has as many.
func TestDealIsFair(t *testing.T) {
	labels := make([]int, 1000)
	for i := range labels {
		labels[i] = i * 7 % 10
	}
	for _, n := range []int{5, 10, 50, 70} {
		seen := make([]int, len(labels))
		parts := deal(labels, n, 20, 2, rand.New(rand.NewPCG(1, uint64(n))))
		for i, p := range parts {
			if len(p) != 20 {
				t.Errorf("%d users: user %d has %d", n, i, len(p))
			}
			for _, at := range p {
				seen[at]++
			}
		}
		if most := (n*20 + 999) / 1000; len(parts) != n || slices.Max(seen) > most {
			t.Errorf("%d users: %d have something, and something is shown by %d", n, len(parts), slices.Max(seen))
		}
	}
}

func TestActivitiesAreOnePersonEach(t *testing.T) {
	without(t)
	c, err := Activities(3, 40, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Users) != 3 || c.Asked != nil {
		t.Fatalf("%d users; asked %v", len(c.Users), c.Asked)
	}
	for _, u := range c.Users {
		if u.Shown.Len() != 40 || u.Asked.Len() != 30 || len(classes(u.Shown)) != 5 || len(classes(u.Asked)) != 5 {
			t.Errorf("%s shows %d windows of %v and is asked about %d of %v", u.Name, u.Shown.Len(), classes(u.Shown), u.Asked.Len(), classes(u.Asked))
		}
		for i := range u.Asked.Len() {
			for j := range u.Shown.Len() {
				if slices.Equal(u.Asked.Row(i), u.Shown.Row(j)) {
					t.Fatalf("%s is asked about what was shown", u.Name)
				}
			}
		}
	}
	if slices.Equal(c.Users[0].Shown.X, c.Users[1].Shown.X) {
		t.Error("two people move alike")
	}
}

func TestSenseless(t *testing.T) {
	without(t)
	if _, err := Digits(0, 10, 2, 1); err == nil {
		t.Error("no users")
	}
	if _, err := Digits(4, 1, 2, 1); err == nil {
		t.Error("two classes in one picture")
	}
	if _, err := Activities(4, 0, 1); err == nil {
		t.Error("no windows")
	}
}

// Beyond the people of the real set others are made up, whose rows are as wide.
func TestActivitiesOfTheRealSet(t *testing.T) {
	if _, ok := dataset.Root(); !ok {
		t.Skip("no data folder: set $YAN_DATA")
	}
	c, err := Activities(25, 60, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Users) != 25 {
		t.Fatalf("%d users", len(c.Users))
	}
	for _, u := range c.Users {
		if u.Shown.Inputs != c.Users[0].Shown.Inputs || u.Shown.Len() == 0 || u.Shown.Len() > 60 || u.Asked.Len() == 0 {
			t.Errorf("%s shows %d windows of %d inputs and is asked about %d", u.Name, u.Shown.Len(), u.Shown.Inputs, u.Asked.Len())
		}
	}
}
