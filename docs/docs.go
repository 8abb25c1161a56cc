// Package docs is what the project says about itself, and the tests that hold the code to it.
//
// The table in architecture.md says who may import whom; layers_test.go reads it and compares it
// with the code on every platform that is built for. The other tests are the rules of the house: a
// package says what it is, a link leads somewhere, code is formatted. The package has no code of its
// own.
package docs
