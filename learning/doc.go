// Package learning is how a mind changes.
//
// A [Learner] owns the changeable part of a mind: it predicts every event before it sees it, and a chunk of events later writes
// what it learnt. [Learner.Fold] takes in what another device learnt. A [Trainer] makes a base from data, a [Head] names
// what it was shown, and a [Knack] is a skill made of what several devices' heads were shown. What follows is what the package promises, with where each promise is kept; `yan-lab ablate` measures what
// every one of them adds, by switching it off.
//
// Where it is written. Into sections that were grown on this device and into nothing else: not into the base, which all devices
// share, nor into what others taught. Such sections stand in banks; to the owner a bank is a [Skill]. The owner's word decides
// which ([Learner.Focus]); without one it is the bank that the context opens, and one that no context opens is written after
// Config.Patience chunks. Of a bank only those sections are touched that fired. Beside the banks the fast layer takes
// every event at once, into rows that the last letters and words address; it never leaves the device.
//
// What is written. One step for each chunk, along the gradient of its surprise or by a rule that needs no backward pass
// (Config.Rule), in all of a section's weights. What the owner says in so many words the fast layer hears several times; a skill
// that it is said to by name, which the fast layer does not hear, rehearses it until it surprises little, while that
// pays. The owner's own stream goes on with the weights as they were written last; others are shown
// their average, which predicts better what was not learnt from (Config.Last leaves that out).
//
// How forgetting is bounded. A bank whose gate is shut changes nothing, to the bit, and [SolveGate] opens it in its context alone: on no
// more than GateConfig.Firing of what the base knows and the bank does not refine, and only at some distance from that
// (GateConfig.Way). In other streams than the owner's, the base alone and the base with each skill read side by side, and each is
// believed as far as it was right ([Reader]; GateConfig.Alone leaves it to the gates). Of every few chunks one is a trial against
// the base alone; a skill that does harm is undone and learns more slowly from then on (Config.Untested). A fold that
// makes the owner's own events more surprising is undone too ([ErrHarm]).
//
// When it grows, splits and retires. An empty skill is grown where surprise meets no open one, up to Config.MaxSkills, and changes nothing
// until it has learnt, for its W2 are zero; beyond that the likeliest one is widened: its gate is solved anew with the new context
// among its samples. A base that is trained splits the sections that are surprised most ([Growth]). Where skills take more
// than Config.Memory, those that are used least rest in an [Archive] and are back before their gate lets them speak, so that nothing
// is said or learnt otherwise. Removing a skill ([Learner.Forget]) gives back the mind without it, to the bit.
//
// The package is pure: events go in, numbers come out, chance comes from a seed. It knows nothing of peers, disks and clocks.
// Nothing here is safe for concurrent use.
package learning
