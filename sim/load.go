package sim

// A Load is what a device had to do until now, and what it holds.
type Load struct {
	Sent    uint64 // bytes
	Updates int    // held, its own among them
	Bytes   int    // of their bodies
	Authors int    // whom it remembers
	Tried   uint64 // updates, since it was started last
	Skills  int    // in its mind
	Weights int64  // bytes of them
}

// Loads returns the load of each device; of one that is down, what it sent alone.
func (w *World) Loads() []Load {
	loads := make([]Load, len(w.devices))
	for i, d := range w.devices {
		l := Load{Sent: d.sent}
		if d.node != nil {
			c := d.node.Conversation()
			held := c.Load()
			l.Updates, l.Bytes, l.Authors = held.Updates, held.Bytes, held.Authors
			for _, n := range c.Counts().Judged {
				l.Tried += n
			}
			mind := d.node.Learner()
			l.Skills, l.Weights = len(mind.Skills()), mind.SkillBytes()
		}
		loads[i] = l
	}
	return loads
}
