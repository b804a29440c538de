"""How a synthetic section looks: its shape, its gray values, its damage, the glass around it."""
