package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	updateserver "github.com/slipway-release/slipway/release/updates"
)

// signatureClient reads signature stores elsewhere for clusters that wait.
var signatureClient = &http.Client{Timeout: 10 * time.Second}

// tokenMade is what `serve token` prints.
type tokenMade struct {
	Name  string `json:"name"`
	Token string `json:"token"`
	Line  string `json:"line"`
}

func newServeToken(a *app) *cobra.Command {
	var roles []string
	var expires string
	var out output
	cmd := &cobra.Command{
		Use:   "token NAME",
		Short: "Make a token for the write API of slipway serve",
		Long: `Make a token, and the line for the file that slipway serve --tokens reads. The token
is printed this once and kept nowhere; the line holds only its hash.

Roles: accept, reject, cut, promote and refresh, each for the requests of its name.`,
		Example: `  slipway serve token release-bot --roles promote,refresh
  slipway serve token jo@example.com --roles accept,reject --expires 2027-06-30 -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			made, err := makeToken(args[0], roles, expires)
			if err != nil {
				return usage(err)
			}
			return out.print(a.Out, result{value: made, names: []string{made.Token}, text: func(w io.Writer) {
				fmt.Fprintf(w, "token: %s\nline:  %s\n", made.Token, made.Line)
			}})
		},
	}
	cmd.Flags().StringSliceVar(&roles, "roles", nil, "what the bearer may do")
	cmd.Flags().StringVar(&expires, "expires", "", "day from which on the token is worth nothing, YYYY-MM-DD, UTC")
	_ = cmd.MarkFlagRequired("roles")
	var names []string
	for _, v := range updateserver.Verbs {
		names = append(names, string(v))
	}
	_ = cmd.RegisterFlagCompletionFunc("roles", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	out.addFlag(cmd)
	return cmd
}

func makeToken(name string, roles []string, expires string) (tokenMade, error) {
	var verbs []updateserver.Verb
	for _, r := range roles {
		verbs = append(verbs, updateserver.Verb(r))
	}
	var end time.Time
	if expires != "" {
		var err error
		if end, err = time.Parse(time.DateOnly, expires); err != nil {
			return tokenMade{}, fmt.Errorf("reading --expires: %w", err)
		}
	}
	token, line, err := updateserver.NewToken(name, verbs, end)
	return tokenMade{name, token, line}, err
}
