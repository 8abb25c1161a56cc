package api

import (
	_ "embed" // of the document
	"net/http"
)

// openAPI describes every route in the words of OpenAPI 3.1. A test of the program that serves it holds the routes and their answers to it.
//
//go:embed openapi.json
var openAPI []byte

func (s *Server) document(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	s.hurry(w)
	_, _ = w.Write(openAPI) // whoever asked has left
}
