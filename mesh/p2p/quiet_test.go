package p2p

import (
	"log/slog"
	"testing"
)

// Of what libp2p has to say, warnings are heard, but for the one that every stranger would cause.
func TestQuiet(t *testing.T) {
	l := new(logged)
	log := slog.New(atLeast{slog.LevelWarn, slog.NewTextHandler(l, nil)}).With("logger", "net/identify")
	log.Info("of no interest")
	log.Warn(unidentified, "error", "stream reset")
	log.Warn("the socket is gone")
	if l.has("interest") || l.has(unidentified) || !l.has("the socket is gone", "net/identify") {
		t.Errorf("heard:\n%s", l)
	}
}
