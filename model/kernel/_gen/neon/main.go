// Command neon writes the arm64 assembly of package kernel and the Go declarations that go with it.
//
// It asks for nothing that ARMv8.0 does not have, so the code runs on every 64-bit Arm processor.
package main

import (
	"flag"
	"log"
	"os"
)

func main() {
	text := flag.String("out", "", "file for the assembly")
	stubs := flag.String("stubs", "", "file for the Go declarations")
	pkg := flag.String("pkg", "kernel", "package of the declarations")
	flag.Parse()

	var p program
	for rows := 1; rows <= 8; rows++ {
		p.gemm(rows)
	}
	p.gemmTN(4)
	p.gemmTN(8)
	for rows := 1; rows <= 4; rows++ {
		p.gemmNT(rows)
	}
	p.packT()
	p.packHalf()
	p.packTHalf()
	for _, rows := range []int{1, 4} {
		p.gemvHalf(rows)
	}
	for _, rows := range []int{1, 8} {
		p.gemvT(rows, false)
		p.gemvT(rows, true)
	}
	p.blocksHalf()
	p.widen()
	p.dot()
	p.axpy()
	p.add()
	p.mul()
	p.mulAdd()
	p.scale()
	p.mulScale()
	p.mulScaleBy()
	p.blend()
	p.above()
	p.max()
	p.exp()
	p.sigmoid()
	p.silu()
	p.swiglu()
	p.expSum()
	p.adam()
	p.decayScan()
	p.decayScanBack()
	p.slopeScan()
	p.slopeScanBack()
	p.normBlocks()
	p.swigluBack()
	p.mixBack()
	p.blendBack()
	p.normBack()
	p.normBlocksBack()
	p.burn()
	p.sweep()

	for name, content := range map[string]string{*text: p.assembly(), *stubs: p.declarations(*pkg)} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
