package kernel

//go:generate go run -C _gen . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg kernel
//go:generate go run -C _gen ./neon -out ../kernels_arm64.s -stubs ../kernels_arm64.go -pkg kernel
