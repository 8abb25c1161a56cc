package exchange

import "github.com/yanmesh/yan/protocol"

// Bodies returns the digests of the bodies of the updates held, in the order of Held: what a Restore
// of the present state would ask for.
func (m *Machine) Bodies() []protocol.Digest {
	var ds []protocol.Digest
	for _, id := range m.haveIDs() {
		ds = append(ds, m.live[id].u.Digest)
	}
	return ds
}

// Live returns the updates held, our own among them, in the order of Held. They are not to be written.
func (m *Machine) Live() []*protocol.Update {
	var us []*protocol.Update
	for _, id := range m.haveIDs() {
		us = append(us, m.live[id].u)
	}
	return us
}

// Own returns the body of our own live update of a skill, or nil. It is not to be written.
func (m *Machine) Own(skill string) []byte {
	if e := m.skills[skillKey{m.cfg.Self, skill}]; e != nil {
		return e.u.Body
	}
	return nil
}
