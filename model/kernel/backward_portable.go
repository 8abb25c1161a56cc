//go:build (!amd64 && !arm64) || purego

package kernel

func swigluBack(dact, dgate, dhid, act, hid, gate []float32, n int) {
	swigluBackGo(dact, dgate, dhid, act, hid, gate, n)
}

func mixBack(du, dv, df, de, dout, u, v, sv, sf, e []float32) {
	mixBackGo(du, dv, df, de, dout, u, v, sv, sf, e)
}

func blendBack(da, db, dw, dy, a, b, w []float32) { blendBackGo(da, db, dw, dy, a, b, w) }

func normBack(dx, dgain, dy, x, gain []float32, r float32) { normBackGo(dx, dgain, dy, x, gain, r) }

func normBlocksBack(_, _, _, _ []float32, _ int) bool { return false }
