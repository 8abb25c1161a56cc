// Package learning is how a mind changes.
package learning
