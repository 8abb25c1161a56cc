package foreign

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const golden = "../../protocol/testdata"

// readGolden reads hexadecimal digits, between lines that begin with #.
func readGolden(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			digits.WriteString(strings.TrimSpace(line))
		}
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return b
}

func goldenFrame(t *testing.T, name string) message {
	t.Helper()
	_, m, err := readFrame(readGolden(t, filepath.Join(golden, name+".hex")))
	if err != nil || m == nil {
		t.Fatalf("%s: %v, %v", name, m, err)
	}
	return m
}

// TestGolden reads every golden frame and writes it again, to the byte.
func TestGolden(t *testing.T) {
	seen := map[byte]bool{}
	files, err := filepath.Glob(golden + "/*.hex")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		want := readGolden(t, file)
		kind, m, err := readFrame(want)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		seen[kind] = true
		if got := writeFrame(kind, m); !bytes.Equal(got, want) {
			t.Errorf("%s is written as\n%x, not\n%x", file, got, want)
		}
	}
	for kind := range kinds {
		if !seen[kind] {
			t.Errorf("no golden frame of kind %d", kind)
		}
	}
	for pattern, fields := range map[string][]field{"body/request-*": bodyRequest, "body/answer-*": bodyAnswer, "look/look-*": look} {
		files, err := filepath.Glob(filepath.Join(golden, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			want := readGolden(t, file)
			m, err := readFields(fields, want)
			if err != nil {
				t.Errorf("%s: %v", file, err)
			} else if got := writeFields(m); !bytes.Equal(got, want) {
				t.Errorf("%s is written as\n%x, not\n%x", file, got, want)
			}
		}
	}
}

// TestGoldenSignatures checks who signed the golden heads, and signs them again with the published key.
func TestGoldenSignatures(t *testing.T) {
	for _, c := range []struct {
		file, context string
		fields        []field
	}{
		{"announce-1", "yan announce v1", head},
		{"update-1", "yan announce v1", head},
		{"align-1", "yan align v1", align},
		{"record-1", "yan align v1", align},
	} {
		m := goldenFrame(t, c.file)
		if err := verify(c.context, c.fields, m); err != nil {
			t.Errorf("%s: %v", c.file, err)
		}
		public, err := keyOf(m.get("a").(string))
		if err != nil {
			t.Fatal(err)
		}
		key := publishedKey(public)
		if key == nil {
			t.Fatalf("%s is signed with no published key", c.file)
		}
		if got := ed25519.Sign(key, signed(c.context, c.fields, m)); !bytes.Equal(got, m.get("q").([]byte)) {
			t.Errorf("%s: another signature", c.file)
		}
		if body, ok := m.get("b").([]byte); ok {
			if sum := sha256.Sum256(body); !bytes.Equal(sum[:], m.get("d").([]byte)) || uint64(len(body)) != m.get("z") {
				t.Errorf("%s: another body", c.file)
			}
		}
		m[1].value = flipped(m[1].value)
		if verify(c.context, c.fields, m) == nil {
			t.Errorf("%s: verifies with another %s", c.file, m[1].key)
		}
	}
}

func publishedKey(public ed25519.PublicKey) ed25519.PrivateKey {
	for n := range 256 {
		if key := keyFrom(byte(n)); public.Equal(key.Public()) {
			return key
		}
	}
	return nil
}

// keyFrom is the published key n.
func keyFrom(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func flipped(v any) any {
	if n, ok := v.(uint64); ok {
		return n ^ 1
	}
	b := bytes.Clone(v.([]byte))
	b[0] ^= 1
	return b
}

// TestGoldenNames checks the digests that the frames have of one another.
func TestGoldenNames(t *testing.T) {
	announced := goldenFrame(t, "announce-1")[:2] // its author and sequence number
	if got, want := sumOf([]any{announced}), goldenFrame(t, "have-2").get("d").([]byte); !bytes.Equal(got, want) {
		t.Errorf("the set of the announced update sums to %x, not %x", got, want)
	}
	record := sha256.Sum256(signed("yan align v1", align, goldenFrame(t, "align-1")))
	if want := goldenFrame(t, "convict-1").get("d").([]byte); !bytes.Equal(record[:], want) {
		t.Errorf("the record's name is %x, not %x", record, want)
	}
}

// TestRefuses holds the reader to what the document says a frame may not be.
func TestRefuses(t *testing.T) {
	for what, digits := range map[string]string{
		"nil":                    "0283a16990a164c0",
		"a bool in an unknown":   "0282a16990a178c3",
		"a float in an unknown":  "0282a16990a178ca00000000",
		"a field twice":          "0282a16990a16990",
		"an unknown field twice": "0283a16990a17801a17801",
		"a byte behind the end":  "0281a1699000",
		"a count beyond the end": "0281a169dd7fffffff",
		"too deep":               "0282a16990a178919191919191919100",
		"a list as a digest":     "0281a16490",
	} {
		b, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		if _, m, err := readFrame(b); err == nil {
			t.Errorf("%s: taken as %v", what, m)
		}
	}
	b, _ := hex.DecodeString("0282a16990a17893010203")
	if _, _, err := readFrame(b); err != nil {
		t.Errorf("a field that is not known: %v", err)
	}
}
