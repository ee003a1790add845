package ocitest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// tokenPath is where the token service of Expire answers.
const tokenPath = "/token"

// Expire asks for a token and takes each one so many times; then it is expired
// and a new one must be fetched from the token service, which is part of the
// effect. So the fault must match every request, or at least those of kind Token.
func Expire(uses int) Effect {
	var mu sync.Mutex
	left := map[string]int{}
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		mu.Lock()
		if kindOf(r.URL.Path) == Token {
			token := rand.Text()
			left[token] = uses
			mu.Unlock()
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_in": 300})
			return
		}
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		left[token]--
		good := left[token] >= 0
		mu.Unlock()
		if good {
			next.ServeHTTP(w, r)
			return
		}
		scope := ""
		if repository := repositoryOf(r.URL.Path); repository != "" {
			scope = fmt.Sprintf(",scope=%q", "repository:"+repository+":pull,push")
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Bearer realm=%q,service=%q%s", "http://"+r.Host+tokenPath, "ocitest", scope))
		Status(http.StatusUnauthorized)(w, r, next)
	}
}
