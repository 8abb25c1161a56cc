package node

import (
	"bytes"
	"testing"

	"github.com/yanmesh/yan/protocol"
)

// What a peer's skill is worth here is measured on the owner's own events, so nobody is told: whoever sends one skill
// for each pin that there may be would read the owner's off the answers. One who shares all he has does answer, and
// then the author learns which of his guesses was right.
func TestAnswersTellNothingOfTheOwner(t *testing.T) {
	guesses := []string{"4711", "9302", "1586"}
	for share, answers := range map[Share]int{ShareNone: 0, ShareSkills: 0, ShareAll: len(guesses)} {
		n := start(t, 0, Config{Share: share}, nil)
		meet(n, 1)
		n.Observe(noon, text("diary", 3000, 1))
		var gains []int64
		for i, guess := range guesses {
			u := taught(t, 1, "guess", bytes.ReplaceAll(text("diary", 2000, 9), []byte("4711"), []byte(guess)))
			for _, e := range hear(n, 1, resigned(1, u, uint64(i+1), u.Body)).Send {
				if an, ok := e.Msg.(*protocol.Answer); ok {
					gains = append(gains, an.Gain)
				}
			}
		}
		if len(gains) != answers {
			t.Errorf("an owner who shares %s answered %d of %d guesses, want %d", share, len(gains), len(guesses), answers)
		}
		if answers > 0 && !(gains[0] > gains[1] && gains[0] > gains[2]) {
			t.Errorf("the right guess gains %d, the wrong ones %v: the answers are no oracle", gains[0], gains[1:])
		}
	}
}
