package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yanmesh/yan/sim/track"
)

// The whole story on short roads: one learns to drive, the other drives, and what is as large but means nothing does not.
func TestDrive(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	status, out, errs := yanTransfer(t, "--skill", "track:short", "--model", pocket(t), "--seeds", "1", "--json", "--out", dir)
	if status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	var s driveSummary
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if s.Metric != "distance" || s.Expert.Mean < 0.99 || s.Donor.Skill < 0.8*s.Expert.Mean {
		t.Errorf("%s: the donor drives %.2f of the way, the one it watched %.2f", s.Metric, s.Donor.Skill, s.Expert.Mean)
	}
	if s.After.Skill < 0.95*s.Donor.Skill || s.Before.Skill > 0.5*s.Donor.Skill || s.GainTransferred < 0.9 {
		t.Errorf("the recipient drives %.2f, before %.2f, the donor %.2f", s.After.Skill, s.Before.Skill, s.Donor.Skill)
	}
	for name, v := range s.Controls {
		if v.Max > 0.6*s.Donor.Skill {
			t.Errorf("%s drive %.2f of the way, the donor %.2f", name, v.Max, s.Donor.Skill)
		}
	}
	if len(s.Controls) != 2 || s.OwnChange != 0 || s.BaseChange != 0 || s.GradientSteps != 0 || s.Before.Own <= 0 {
		t.Errorf("%d controls, own %+.4f of %.2f, base %+.4f, %d gradient steps", len(s.Controls), s.OwnChange, s.Before.Own, s.BaseChange, s.GradientSteps)
	}
	if s.Sections != 32 || s.Bytes <= 0 || s.Bytes >= s.FullModelBytes || len(s.Curve) < 3 || s.Ends[track.Arrived.String()] == 0 {
		t.Errorf("%d sections, %d bytes of %d, %d points", s.Sections, s.Bytes, s.FullModelBytes, len(s.Curve))
	}
	for name, want := range map[string]string{"report.html": `class="path before"`, "result.json": `"random_sections"`} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Contains(b, []byte(want)) {
			t.Errorf("%s: %d bytes without %s, %v", name, len(b), want, err)
		}
	}
}

// What is driven on was never watched, whatever the seed is.
func TestRoadsDiffer(t *testing.T) {
	seen := map[uint64]bool{}
	for _, seed := range []uint64{1, 2} {
		for _, kind := range []int{toWatch, toTry, toDrive} {
			list, err := worlds[1].roads(seed, kind, 5)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range list {
				if seen[r.Seed] {
					t.Errorf("seed %d, kind %d: road %d again", seed, kind, r.Seed)
				}
				seen[r.Seed] = true
			}
		}
	}
}

// A car that nobody drives rolls straight on, and a road is drawn with all who drove on it.
func TestDrawRoad(t *testing.T) {
	r, err := worlds[0].road(1, toDrive, 0)
	if err != nil {
		t.Fatal(err)
	}
	before, expert := track.Drive(r, driver(nil)), track.Drive(r, &track.Expert{})
	if before.End == track.Arrived || before.Distance > 0.3*r.Length() {
		t.Errorf("nobody drives %.0f of %.0f m: %v", before.Distance, r.Length(), before.End)
	}
	svg := drawRoad(r, "a <road>", before, expert, expert)
	if strings.Count(svg, "<path") != 4+len(r.Sides) || strings.Count(svg, "<circle") != 2+len(r.Obstacles) || !strings.Contains(svg, "a &lt;road&gt;") {
		t.Error(svg)
	}
}
