"""From prices to crossings."""
