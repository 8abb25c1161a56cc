//go:build !purego

package kernel

// most is how many numbers one call works on, for it cannot be preempted.
const most = 1 << 14

func swigluBack(dact, dgate, dhid, act, hid, gate []float32, n int) {
	if level == levelGo || n == 0 {
		swigluBackGo(dact, dgate, dhid, act, hid, gate, n)
		return
	}
	rows := len(gate)
	for some := max(most/n, 1); rows > 0; rows -= some {
		some = min(some, rows)
		if level == levelAVX512 {
			swigluBack512(some, n, &dact[0], &dgate[0], &dhid[0], &act[0], &hid[0], &gate[0])
		} else {
			swigluBack256(some, n, &dact[0], &dgate[0], &dhid[0], &act[0], &hid[0], &gate[0])
		}
		if some < rows {
			dact, dgate, dhid, act, hid, gate = dact[2*n*some:], dgate[some:], dhid[n*some:], act[2*n*some:], hid[n*some:], gate[some:]
		}
	}
}

func mixBack(du, dv, df, de, dout, u, v, sv, sf, e []float32) {
	if level == levelGo {
		mixBackGo(du, dv, df, de, dout, u, v, sv, sf, e)
		return
	}
	for o := 0; o < len(dout); o += most {
		n := min(most, len(dout)-o)
		if level == levelAVX512 {
			mixBack512(n, &du[o], &dv[o], &df[o], &de[o], &dout[o], &u[o], &v[o], &sv[o], &sf[o], &e[o])
		} else {
			mixBack256(n, &du[o], &dv[o], &df[o], &de[o], &dout[o], &u[o], &v[o], &sv[o], &sf[o], &e[o])
		}
	}
}

func blendBack(da, db, dw, dy, a, b, w []float32) {
	switch level {
	case levelAVX512:
		blendBack512(len(dy), &da[0], &db[0], &dw[0], &dy[0], &a[0], &b[0], &w[0])
	case levelAVX2:
		blendBack256(len(dy), &da[0], &db[0], &dw[0], &dy[0], &a[0], &b[0], &w[0])
	default:
		blendBackGo(da, db, dw, dy, a, b, w)
	}
}

func normBack(dx, dgain, dy, x, gain []float32, r float32) {
	switch level {
	case levelAVX512:
		normBack512(len(dy), &dx[0], &dgain[0], &dy[0], &x[0], &gain[0], r)
	case levelAVX2:
		normBack256(len(dy), &dx[0], &dgain[0], &dy[0], &x[0], &gain[0], r)
	default:
		normBackGo(dx, dgain, dy, x, gain, r)
	}
}

// normBlocksBack reports that no routine here can.
func normBlocksBack(dx, dy, x, inv []float32, dc int) bool {
	switch {
	case level == levelAVX512 && dc%16 == 0:
	case level == levelAVX2 && dc%8 == 0:
	default:
		return false
	}
	for some := max(most/dc, 1); len(inv) > 0; {
		some = min(some, len(inv))
		if level == levelAVX512 {
			normBlocksBack512(some, dc, &dx[0], &dy[0], &x[0], &inv[0])
		} else {
			normBlocksBack256(some, dc, &dx[0], &dy[0], &x[0], &inv[0])
		}
		dx, dy, x, inv = dx[some*dc:], dy[some*dc:], x[some*dc:], inv[some:]
	}
	return true
}
